"The page: in a real server, driven by a real browser."
import csv, json, os, shutil, signal, socket, subprocess, sys, time, urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = os.environ.get("ULMTWEET_SHOTS") # a folder, to look at what the tests saw


@contextmanager
def server(home):
    "A Streamlit server over a home folder; gives its address and process."
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py",
               "--server.headless", "true", "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "ULMTWEET_HOME": str(home)},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://localhost:{port}", process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def browser_page(address, width=1280, height=900):
    "A page in headless Chromium; fails if it asked any other host for anything."
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium on this computer; install the package chromium to run this test")
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM,
                                    args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = browser.new_page(viewport=dict(width=width, height=height),
                                accept_downloads=True, reduced_motion="reduce")
        page.set_default_timeout(60_000)
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
    "Wait until the script has run and the fonts are there: a click into a moving layout is lost."
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.evaluate("document.fonts.ready.then(() => true)")


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS)/f"{name}.png", full_page=True)


@pytest.mark.slow
def test_predict_copy_and_download(home):
    with server(home) as (address, _), browser_page(address) as page:
        page.get_by_role("textbox", name="The tweet begins with").fill("The van")
        page.get_by_role("button", name="What next?").click()
        page.get_by_text("probability per token").first.wait_for()
        page.wait_for_function("document.querySelectorAll('pre').length == 10")
        tweets = [t.strip() for t in page.locator("pre").all_inner_texts()]
        assert len(tweets) == 10 and all(t.startswith("The van") for t in tweets)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
        assert [r["text"] for r in rows] == tweets and {r["generated"] for r in rows} == {"True"}
        with page.expect_download() as download:
            page.get_by_role("button", name="Download JSON Lines").click()
        assert [json.loads(line)["text"]
                for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()] == tweets
        page.get_by_text("How good is the voice small?").click()
        page.get_by_text("Bits per character, newest tweets").wait_for()
        shoot(page, "predict-desktop")


@pytest.mark.slow
def test_fits_a_phone(home):
    with server(home) as (address, _), browser_page(address, 390, 844) as page:
        page.get_by_role("button", name="What next?").click()
        page.get_by_text("probability per token").first.wait_for()
        page.wait_for_function("document.querySelectorAll('pre').length == 10")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        shoot(page, "predict-phone")


@pytest.mark.slow
def test_judge_on_a_phone(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    with server(tmp_path) as (address, _), browser_page(address, 390, 844) as page:
        page.set_default_timeout(200_000)
        page.get_by_text("How good is the voice small?").click()
        page.get_by_role("button", name="Judge it").click()
        said = page.get_by_text("The sharpest judge")
        said.wait_for()
        assert said.bounding_box()["width"] <= 390 and page.evaluate("document.documentElement.scrollWidth") <= 390
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the whole report").click()
        assert Path(download.value.path()).read_bytes() == (tmp_path/"voices"/"small"/"report.html").read_bytes()
        shoot(page, "judged-phone")


@pytest.mark.slow
def test_first_visit_trains_on_the_sample_with_live_progress(tmp_path):
    with server(tmp_path) as (address, _), browser_page(address) as page:
        page.get_by_text("There is no voice yet.").wait_for()
        page.get_by_text("a transformer that has read the web").wait_for()
        shoot(page, "first-visit")
        page.get_by_role("button", name="Train a voice on the sample tweets").click()
        page.set_default_timeout(300_000)
        page.get_by_text("Finding the learning rate").wait_for()
        page.get_by_text("Training, stage").wait_for()
        left = page.get_by_text("about").first.inner_text()
        page.get_by_text("would say").first.wait_for()
        assert "left" in left
        page.reload() # the training doesn't depend on the browser
        page.get_by_text("would say").first.wait_for()
        shoot(page, "training")
        status = json.loads((tmp_path/"voices"/".juno.training"/"status.json").read_text())
        os.kill(status["pid"], signal.SIGTERM)
        page.get_by_text("Train a voice on the sample tweets").wait_for()


@pytest.mark.slow
def test_a_failed_training_says_why(tmp_path):
    (tmp_path/"few.txt").write_text("one tweet\nand another\n")
    with server(tmp_path) as (address, _), browser_page(address) as page:
        page.get_by_role("textbox", name="Or a file on this computer").fill(str(tmp_path/"few.txt"))
        page.get_by_role("textbox", name="Name of the voice").fill("few")
        page.get_by_role("button", name="Train", exact=True).click()
        page.get_by_text("2 tweets with").wait_for()
        assert page.get_by_text("Traceback").count() == 0


@pytest.mark.slow
def test_an_open_page_leaves_the_processor_to_the_training(tmp_path):
    def seconds(process): # that it computed, see proc(5)
        return (sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
                / os.sysconf("SC_CLK_TCK"))
    with server(tmp_path) as (address, process), browser_page(address) as page:
        page.get_by_text("There is no voice yet.").wait_for()
        time.sleep(3)
        before = seconds(process)
        time.sleep(5)
        assert seconds(process) - before < 1
