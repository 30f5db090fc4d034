# The page for strangers: voices from a folder, to write with and no more.
#
#   docker build -t ulmtweet .
#   docker run -p 8501:8501 -v /path/to/home:/home/ulmtweet/data:ro ulmtweet
#
# The folder has the voices that are to be shown, under voices/, readable by everybody. For a page of one's own, which
# also trains and shows the tweets, write `-p 127.0.0.1:8501:8501`, or others in the network see it, leave out `:ro`, and
# add `-e ULMTWEET_PUBLIC=0 -e STREAMLIT_SERVER_MAX_UPLOAD_SIZE=200`.
FROM python:3.11-slim

# wheels of PyTorch for processors alone; with a GPU, the index that fits it
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /app
COPY settings.ini setup.py pyproject.toml constraints.txt MANIFEST.in README.md LICENSE ./
COPY ulmtweet ulmtweet
# fastai requires torchvision and never imports it
RUN version=$(grep '^torch==' constraints.txt) \
    && pip install --no-cache-dir --index-url "$TORCH_INDEX" "$version" \
    && pip install --no-cache-dir -c constraints.txt '.[transformers]' \
    && pip uninstall -y torchvision \
    && rm -rf ulmtweet build ./*.egg-info
COPY app.py ./
COPY rooms rooms
COPY .streamlit .streamlit

RUN useradd --create-home ulmtweet && mkdir /home/ulmtweet/data && chown ulmtweet /home/ulmtweet/data
USER ulmtweet
VOLUME /home/ulmtweet/data

# a browser sends no message of more than a megabyte; uploads are refused before the first visitor comes; with an
# address of its own the server asks nobody for it
ENV ULMTWEET_HOME=/home/ulmtweet/data \
    ULMTWEET_PUBLIC=1 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_BROWSER_SERVER_ADDRESS=localhost \
    STREAMLIT_SERVER_MAX_UPLOAD_SIZE=0 \
    STREAMLIT_SERVER_MAX_MESSAGE_SIZE=1 \
    PYTHONUNBUFFERED=1

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "app.py"]
