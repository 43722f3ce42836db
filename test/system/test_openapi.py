"""docs/openapi.yaml is the contract: each documented call is answered as documented, each example can be
sent as it stands, and the server has no route that is not documented."""

import json
import os
import re

import jsonschema
import pytest
import yaml

from test_http import ROOT, demo, shared  # noqa: F401 (fixtures)

with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as text:
    CONTRACT = yaml.safe_load(text)
CALLS = [(path, method, call) for path, item in CONTRACT["paths"].items()
         for method, call in item.items() if method in ("get", "post", "put", "delete")]
VALUES = {"consumer": "00001", "id": "personal_offers", "shard": "0", "tile": "0/000.p/1"}


def resolve(node):
    while "$ref" in node:
        name = node["$ref"]
        node = CONTRACT
        for part in name[2:].split("/"):
            node = node[part]
    return node


def examples(call):
    if "requestBody" not in call:
        return [None]
    content = resolve(call["requestBody"])["content"].get("application/json")
    if not content:
        return [None]
    if "examples" in content:
        return [resolve(e)["value"] for e in content["examples"].values()]
    return [content["example"]] if "example" in content else [{}]


def check(call, answer):
    responses = call["responses"]
    status = str(answer.status_code)
    documented = responses.get(status) or responses.get(status[0] + "XX") or responses.get("default")
    assert documented, f"{status} is not documented: {answer.text[:300]}"
    content = resolve(documented).get("content", {})
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    if not content:
        return
    assert kind in content, (kind, list(content))
    schema = content[kind].get("schema")
    if schema and kind.endswith("json"):
        resolver = jsonschema.RefResolver("", CONTRACT)
        lines = answer.text.splitlines() if kind == "application/x-ndjson" else [answer.text]
        for line in lines:
            jsonschema.Draft202012Validator(schema, resolver=resolver).validate(json.loads(line))


@pytest.mark.parametrize("path,method,call", CALLS, ids=[f"{m} {p}" for p, m, _ in CALLS])
def test_calls_are_answered_as_documented(shared, path, method, call):  # noqa: F811
    target = re.sub(r"{(\w+)}", lambda m: VALUES.get(m.group(1), "00001"), path)
    for example in examples(call):
        answer = shared.admin.request(method, shared.url + target, json=example, timeout=30)
        assert answer.status_code < 500, answer.text
        assert answer.status_code != 405, "documented, but not there"
        check(call, answer)


def test_every_route_is_documented():
    with open(os.path.join(ROOT, "src", "api", "api.c"), encoding="utf-8") as source:
        routes = re.findall(r'\.method = "(\w+)",\s*\.pattern = "(/[^"]*)"', source.read())
    assert len(routes) > 20
    documented = {(method.upper(), path) for path, method, _ in CALLS}
    assert {(m, p.replace("...}", "}")) for m, p in routes} == documented
