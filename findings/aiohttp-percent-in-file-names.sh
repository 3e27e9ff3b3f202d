#!/usr/bin/env bash
# aiohttp sends the file name 故障截图 1.png as %E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE%201.png, and servers keep it like that.
#
# Expected: the name arrives as it is. requests, httpx and browsers send UTF-8 bytes in filename="..." and escape only the quote and line
#   breaks (the rule of the HTML standard).
# Happens: aiohttp.FormData percent-encodes the whole name into the plain parameter filename="...", even a space. It sends no
#   filename*=, so a server cannot distinguish this from a file that really has percent signs in its name. werkzeug, python-multipart,
#   busboy, formidable and even aiohttp's own server keep the percent signs.
# Where a service desk meets it: robots and monitoring tools in Python upload screenshots and logs with Chinese names to tickets.
# What to do: clients use FormData(quote_fields=False) or send the name in a field of its own. A server must not decode percent signs
#   in general, because 100%25.png is a valid name.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5 httpx==0.28.1 requests==2.34.2 werkzeug==3.1.9 python-multipart==0.0.34
npm install --silent --no-audit --no-fund --prefix "$work" busboy@1.6.0 formidable@3.5.4

cat > "$work/nodes.mjs" <<'JS'
import http from "node:http";
import busboy from "busboy";
import formidable from "formidable";

const server = http.createServer((request, response) => {
  if (request.url === "/busboy") {
    const parser = busboy({ headers: request.headers, defParamCharset: "utf8" });
    let name;
    parser.on("file", (field, file, info) => { name = info.filename; file.resume(); });
    parser.on("close", () => response.end(name));
    request.pipe(parser);
  } else {
    formidable().parse(request, (error, fields, files) => response.end(error ? String(error) : files.file[0].originalFilename));
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat > "$work/names.py" <<'PY'
import asyncio
import io
import sys
from importlib.metadata import version
import aiohttp
import aiohttp.web
import httpx
import python_multipart
import requests
from werkzeug.formparser import parse_form_data

NAME = "故障截图 1.png"
NODES = f"http://127.0.0.1:{sys.argv[1]}"


async def with_werkzeug(request):
    body = await request.read()
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": request.headers["content-type"], "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    return aiohttp.web.Response(text=parse_form_data(environ)[2]["file"].filename)


async def with_python_multipart(request):
    names = []
    headers = {"Content-Type": request.headers["content-type"].encode(), "Content-Length": request.headers["content-length"].encode()}
    python_multipart.parse_form(headers, io.BytesIO(await request.read()), None, lambda file: names.append(file.file_name.decode()))
    return aiohttp.web.Response(text=names[0])


async def with_aiohttp(request):
    return aiohttp.web.Response(text=(await request.post())["file"].filename)


async def post_aiohttp(url, **options):
    form = aiohttp.FormData(**options)
    form.add_field("file", b"x", filename=NAME, content_type="image/png")
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as response:
        return await response.text()


async def main():
    app = aiohttp.web.Application()
    app.router.add_post("/werkzeug", with_werkzeug)
    app.router.add_post("/python-multipart", with_python_multipart)
    app.router.add_post("/aiohttp", with_aiohttp)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    urls = {"werkzeug": base, "python-multipart": base, "busboy": NODES, "formidable": NODES, "aiohttp": base}
    print(", ".join(f"{name} {version(name)}" for name in ["aiohttp", "httpx", "requests", "werkzeug", "python-multipart"]))
    for server, base in urls.items():
        url = f"{base}/{server}"
        file = {"file": (NAME, b"x", "image/png")}
        names = {
            "aiohttp": await post_aiohttp(url),
            "aiohttp quote_fields=False": await post_aiohttp(url, quote_fields=False),
            "httpx": (await asyncio.to_thread(httpx.post, url, files=file)).text,
            "requests": (await asyncio.to_thread(requests.post, url, files=file)).content.decode(),
        }
        for client, name in names.items():
            print(f"{server:16} from {client}: {name}")
    await runner.cleanup()


asyncio.run(main())
PY
node "$work/nodes.mjs" > "$work/port" &
nodes=$!
trap 'kill "$nodes" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
{
    (cd "$work" && node -p '["busboy", "formidable"].map((name) => `${name} ${require(`./node_modules/${name}/package.json`).version}`).join(", ")')
    "$work/venv/bin/python" -W ignore "$work/names.py" "$(cat "$work/port")"
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
busboy 1.6.0, formidable 3.5.4
aiohttp 3.14.5, httpx 0.28.1, requests 2.34.2, werkzeug 3.1.9, python-multipart 0.0.34
werkzeug         from aiohttp: %E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE%201.png
werkzeug         from aiohttp quote_fields=False: 故障截图 1.png
werkzeug         from httpx: 故障截图 1.png
werkzeug         from requests: 故障截图 1.png
python-multipart from aiohttp: %E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE%201.png
python-multipart from aiohttp quote_fields=False: 故障截图 1.png
python-multipart from httpx: 故障截图 1.png
python-multipart from requests: 故障截图 1.png
busboy           from aiohttp: %E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE%201.png
busboy           from aiohttp quote_fields=False: 故障截图 1.png
busboy           from httpx: 故障截图 1.png
busboy           from requests: 故障截图 1.png
formidable       from aiohttp: %E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE%201.png
formidable       from aiohttp quote_fields=False: 故障截图 1.png
formidable       from httpx: 故障截图 1.png
formidable       from requests: 故障截图 1.png
aiohttp          from aiohttp: %E6%95%85%E9%9A%9C%E6%88%AA%E5%9B%BE%201.png
aiohttp          from aiohttp quote_fields=False: 故障截图 1.png
aiohttp          from httpx: 故障截图 1.png
aiohttp          from requests: 故障截图 1.png
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
