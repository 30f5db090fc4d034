// Words with bars as long as they are probable; data.words: [{word, share, says}]
function drawBars(root, words, choose) {
  const most = Math.max(...words.map(w => w.share), 1e-9)
  root.replaceChildren(...words.map((w, i) => {
    const button = document.createElement("button")
    button.type = "button"
    button.className = "bar"
    button.style.setProperty("--share", `${Math.max(100 * w.share / most, 2)}%`)
    const word = document.createElement("bdi"), says = document.createElement("span")
    word.textContent = w.word
    says.textContent = w.says
    button.append(word, says)
    button.onclick = () => choose(i)
    return button
  }))
}

// Arrows go from one to the next, Home and End to the first and the last
function walk(event, items) {
  const at = items.indexOf(event.target), last = items.length - 1
  const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: last }[event.key]
  if (at < 0 || to === undefined) return
  event.preventDefault()
  items[Math.min(Math.max(to, 0), last)].focus()
}
