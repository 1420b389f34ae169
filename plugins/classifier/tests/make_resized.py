#!/usr/bin/env python3
"""What Pillow makes of a small picture with each of its filters: tests/resized.json.

usage: make_resized.py > tests/resized.json          (pillow)
"""

import json

from PIL import Image

rows = []
for resample in range(6):
    for width, height in [(3, 2), (14, 11), (4, 9), (7, 3)]:
        picture = Image.frombytes("RGB", (7, 5), bytes(index * 89 % 256 for index in range(7 * 5 * 3)))
        made = picture.resize((width, height), resample=resample)
        rows.append({"resample": resample, "width": width, "height": height, "bytes": list(made.tobytes())})
print("[" + ",\n".join(json.dumps(row) for row in rows) + "]")
