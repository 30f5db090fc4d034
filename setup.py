"Everything setuptools needs to know, read from settings.ini."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=["="])
parser.read("settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    license=cfg["license"],
    keywords=cfg["keywords"].split(),
    url=f"https://github.com/{cfg['user']}/{cfg['lib_name']}",
    install_requires=cfg["requirements"].split(),
    extras_require={extra: cfg[f"{extra}_requirements"].split()
                    for extra in ("dev", "sentiment", "wandb", "tensorboard", "transformers", "ray", "onnx", "hub",
                                  "bench")},
    entry_points={"console_scripts": [cfg["console_scripts"]], "nbdev": ["ulmtweet=ulmtweet._modidx:d"],
                  "llm": ["ulmtweet=ulmtweet.sharing.plugin"]}, # found by the program `llm` where it is installed
    packages=find_packages(include=["ulmtweet*"]),
    package_data={"ulmtweet": ["assets/*", "assets/*/*"]},
)
