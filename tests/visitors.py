"Visitors of the page without a browser: they speak its protocol."
from contextlib import contextmanager

from websockets.sync.client import connect


def shown(message):
    "All texts in what the server sends for one element."
    for field, value in message.ListFields():
        if field.name in ("id", "form_id", "element_id", "hash", "metadata"): continue # differ from session to session
        if field.message_type:
            for part in value if hasattr(value, "append") or hasattr(value, "add") else [value]:
                if hasattr(part, "ListFields"): yield from shown(part)
        elif isinstance(value, str):
            yield value


class Visitor:
    "A session: asks for a page, and keeps what it is shown."
    def __init__(self, socket): self.socket = socket

    def open(self, query="", page=""):
        "All texts of a page, in the order in which they came."
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
        asked = BackMsg()
        asked.rerun_script.query_string, asked.rerun_script.page_name = query, page
        self.socket.send(asked.SerializeToString())
        texts = []
        while True:
            said = ForwardMsg()
            said.ParseFromString(self.socket.recv(timeout=300))
            kind = said.WhichOneof("type")
            if kind == "delta": texts += shown(said.delta)
            if kind == "script_finished" and said.script_finished != said.FINISHED_EARLY_FOR_RERUN: return texts


@contextmanager
def visitor(address):
    with connect(address.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"], origin=address,
                 max_size=None, open_timeout=60) as socket:
        yield Visitor(socket)
