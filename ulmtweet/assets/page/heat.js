export default function({ data, parentElement, setTriggerValue }) {
  const find = name => parentElement.querySelector(name)
  const [words, others, table] = [find(".words"), find(".bars"), find("tbody")]
  const held = parentElement.activeElement // drawing anew takes the focus away
  const [before, inside] = held ? [[...words.children].indexOf(held), others.contains(held)] : [-1, false]

  words.setAttribute("aria-label", data.label)
  words.replaceChildren(...data.words.map((w, i) => {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = w.text
    button.title = w.says
    button.setAttribute("aria-label", `${w.text.trim()}: ${w.says}`)
    button.setAttribute("aria-expanded", String(i === data.place))
    button.tabIndex = i === Math.max(before, data.place ?? 0, 0) ? 0 : -1
    button.style.setProperty("--heat", `${Math.round(55 * w.heat)}%`)
    button.onclick = () => setTriggerValue("place", i === data.place ? -1 : i)
    return button
  }))
  words.onkeydown = event => walk(event, [...words.children])

  find(".hint").textContent = data.hint
  drawBars(others, data.others, i => setTriggerValue("chosen", [data.place, i]))
  others.onkeydown = event => {
    if (event.key === "Escape") words.children[data.place]?.focus()
    else walk(event, [...others.children])
  }
  if (inside || before >= 0) (others.children[0] ?? words.children[Math.max(before, 0)])?.focus()

  table.replaceChildren(...data.words.map(w => {
    const row = document.createElement("tr")
    for (const [kind, text] of [["th", w.text.trim()], ["td", w.says]]) {
      const cell = document.createElement(kind)
      if (kind === "th") cell.scope = "row"
      cell.textContent = text
      row.append(cell)
    }
    return row
  }))
}
