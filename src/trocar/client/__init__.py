"""The Session's verbs over HTTP: NumPy, the standard library and `requests`, no torch.

    client = Client("http://127.0.0.1:8017", token="...")
    source = client.project("larynx").upload("clip.mp4")
    source.add({"box": [412, 305, 520, 388]}, frame=0, object_id=1)
    for masks in source.propagate():
        ...

Only changed boxes travel: a mask that client and server both know is sent as what differs from it.
"""

from trocar.client.connection import Connection, ServerError
from trocar.client.server import Client, Project
from trocar.client.source import FrameMasks, Objects, Propagation, Records, Source

__all__ = [
    "Client",
    "Connection",
    "FrameMasks",
    "Objects",
    "Project",
    "Propagation",
    "Records",
    "ServerError",
    "Source",
]
