"""Renders templates with Jinja2 and automatic escaping. The templates are compiled once.

usage: jinja_templates.py FILE
FILE has `templates` (texts) and `contexts`. Prints {"seconds": ..., "first": [texts]}.
"""
import json
import sys
import time

import jinja2


def main(path):
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    environment = jinja2.Environment(autoescape=True)
    templates = [environment.from_string(text) for text in given["templates"]]
    contexts = given["contexts"]
    first = [template.render(contexts[0]) for template in templates]
    length = 0
    begin = time.perf_counter()
    for template in templates:
        for context in contexts:
            length += len(template.render(context))
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "first": first, "length": length}))


main(sys.argv[1])
