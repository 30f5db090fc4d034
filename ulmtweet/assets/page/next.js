export default function({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".bars")
  root.setAttribute("aria-label", data.label)
  drawBars(root, data.words, i => setTriggerValue("chosen", i))
  root.onkeydown = event => walk(event, [...root.children])
}
