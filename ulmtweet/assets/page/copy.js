export default function({ data, parentElement }) {
  const [button, label, done] = ["button", ".label", "[role=status]"].map(s => parentElement.querySelector(s))
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(data.text)
      label.textContent = done.textContent = "Copied"
    } catch { // no leave to write there, or an address without https
      label.textContent = done.textContent = "Not allowed here"
    }
    setTimeout(() => { label.textContent = "Copy"; done.textContent = "" }, 2000)
  }
}
