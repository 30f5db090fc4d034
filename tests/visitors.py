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


def parts(message):
    "An element and all that is in it."
    yield message
    for field, value in message.ListFields():
        if field.message_type:
            for part in value if hasattr(value, "append") or hasattr(value, "add") else [value]:
                if hasattr(part, "ListFields"): yield from parts(part)


class Visitor:
    "A session: asks for a page, keeps what it is shown, and can send any value for its widgets."
    def __init__(self, socket): self.socket, self.ids, self.session, self.rooms = socket, {}, "", []

    def look_at(self, said):
        "Remember widgets by their labels, and what else may be of use to somebody hostile."
        for part in parts(said):
            if getattr(part, "id", "") and getattr(part, "label", ""): self.ids[part.label] = part.id
        if said.HasField("new_session"): self.session = said.new_session.initialize.session_id or self.session
        if said.HasField("navigation"): self.rooms = [p.page_name for p in said.navigation.app_pages]

    def open(self, query="", page="", room="", widgets=()):
        """All texts of a page, in the order in which they came. `room` is the hash of a page; `widgets` are pairs of
        a label and fields of a widget's state."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
        asked = BackMsg()
        asked.rerun_script.query_string, asked.rerun_script.page_name = query, page
        asked.rerun_script.page_script_hash = room
        for label, value in widgets: asked.rerun_script.widget_states.widgets.add(id=self.ids[label], **value)
        self.socket.send(asked.SerializeToString())
        texts = []
        while True:
            said = ForwardMsg()
            said.ParseFromString(self.socket.recv(timeout=300))
            self.look_at(said)
            kind = said.WhichOneof("type")
            if kind == "delta": texts += shown(said.delta)
            if kind == "script_finished" and said.script_finished != said.FINISHED_EARLY_FOR_RERUN: return texts


@contextmanager
def visitor(address, comes_from=None):
    "A session, which a proxy on this computer says to come from an address."
    headers = {"X-Forwarded-For": comes_from} if comes_from else {}
    with connect(address.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"], origin=address,
                 max_size=None, open_timeout=300, additional_headers=headers) as socket:
        yield Visitor(socket)
