"""From Kling's address to the team's own storage: streamed, checked, and there whole or not at all.

``place`` says where, ``stores`` and ``writers`` know the storage, ``download`` the video host, ``container``
what a video looks like, ``receipt`` what was landed before; ``clip`` puts them in order for one video, and
``landing`` does that for a task's.
Runs on a worker, never in a trigger, and buys nothing.
"""
