"A real server with the page, and a real browser in front of it."
import os, shutil, subprocess, sys, time, urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import ROOT, free_ports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = os.environ.get("ULMTWEET_SHOTS") # a folder, to look at what the tests saw


@contextmanager
def server(home, script="app.py"):
    "A Streamlit server over a home folder; gives its address and process."
    [port] = free_ports(1)
    command = [sys.executable, "-m", "streamlit", "run", str(script),
               "--server.headless", "true", "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "ULMTWEET_HOME": str(home)},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(3000):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield f"http://localhost:{port}", process
    finally:
        process.terminate()
        process.wait(300)


@contextmanager
def browser_page(address, width=1280, height=900, **options):
    "A page in headless Chromium; fails if it asked any other host for anything."
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium on this computer; install the package chromium to run this test")
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM,
                                    args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = browser.new_page(viewport=dict(width=width, height=height),
                                accept_downloads=True, reduced_motion="reduce", **options)
        page.set_default_timeout(300_000)
        elsewhere = []
        page.on("request", lambda r: elsewhere.append(r.url)
                if not r.url.startswith((address, address.replace("http", "ws"), "data:", "blob:")) else None)
        page.goto(address)
        if address.startswith("http"): settled(page) # a report is a file
        try:
            yield page
        except BaseException:
            print(page.inner_text("body")) # pytest shows it with the failure
            raise
        finally:
            browser.close()
    assert not elsewhere


def settled(page):
    "Wait until the script has run and all it shows is loaded: a click into a moving layout is lost."
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')") # stands for a part not loaded yet
    page.evaluate("document.fonts.ready.then(() => true)")


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS)/f"{name}.png", full_page=True)


# Streamlit fades what it draws anew; a shared page allows no other style sheets in its HTML
UNFADED = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("[data-stale] { opacity: 1 !important; }");
    document.adoptedStyleSheets.push(sheet);
}"""


def accessible(page):
    "Whether axe finds names, contrasts and roles as people with screen readers, keyboards and weak eyes need them."
    from axe_playwright_python.sync_playwright import Axe
    page.evaluate(UNFADED)
    found = Axe().run(page, options=dict(runOnly=["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]))
    assert not found.violations_count, found.generate_report()
