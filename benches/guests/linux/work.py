# What scripts do: classes, dictionaries, text, sorting, JSON, regular expressions.
import hashlib
import json
import re
import sys


class Node:
    def __init__(self, key, value):
        self.key = key
        self.value = value
        self.left = self.right = None

    def insert(self, key, value):
        side = "left" if key < self.key else "right"
        child = getattr(self, side)
        if child is None:
            setattr(self, side, Node(key, value))
        else:
            child.insert(key, value)

    def walk(self):
        if self.left:
            yield from self.left.walk()
        yield self.key, self.value
        if self.right:
            yield from self.right.walk()


def numbers(count):
    state = 2463534242
    for _ in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        yield state


digest = hashlib.md5()
for _ in range(int(sys.argv[1])):
    tree = Node(1 << 31, "root")
    for n in numbers(400):
        tree.insert(n, f"value {n % 1000:03}")
    counts = {}
    for key, value in tree.walk():
        counts.setdefault(value, []).append(key)
    text = json.dumps(counts, sort_keys=True)
    words = re.findall(r"value (\d+)", text)
    order = sorted(json.loads(text).items(), key=lambda item: (len(item[1]), item[0]))
    digest.update(repr((words[::7], order[:50])).encode())
print(digest.hexdigest())
