"""Starts, deploys, seeds and stops the local cloud; contains all differences between the stand-in, LocalStack and AWS."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "target" / "localstack"
ENV = HOME / "env"
PID = HOME / "pid"
LOG = HOME / "stand-in.log"
REGION = "us-east-1"
STACK = "ledgerdesk-local"
CODE_BUCKET = "ledgerdesk-local-code"
WAIT_MAX_S = 120
PROGRAMS = ("http", "background")
DEFAULT_APP = "local_app:secret-for-trials-only"


class Kind:
    """The differences between the services that can answer at an endpoint."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        try:
            get(endpoint + "/_ministack/health")
            self.is_stand_in = True
        except urllib.error.HTTPError:
            self.is_stand_in = False

    def name(self):
        return "the stand-in" if self.is_stand_in else "LocalStack"

    def url(self, api_id):
        """Returns the URL of the HTTP API."""
        return f"{self.endpoint}/_aws/execute-api/{api_id}/$default"

    def stream_answers(self):
        """Returns the parameter StreamAnswers; the stand-in drops the failed records of a partial result."""
        return "whole" if self.is_stand_in else "partial"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def target():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def start():
    """Starts the stand-in on a free port of this machine, with a minimal environment."""
    if running(pid()):
        sys.exit("the local cloud is already running; stop it with localstack/down")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    clean = {
        "PATH": os.environ["PATH"],
        "HOME": str(HOME),
        "LANG": "C.UTF-8",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    with LOG.open("wb") as log:
        child = subprocess.Popen(
            [HOME / "venv" / "bin" / "ministack"], env=clean, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=HOME, start_new_session=True
        )
    PID.write_text(str(child.pid))
    until = time.monotonic() + WAIT_MAX_S
    while True:
        try:
            get(endpoint + "/_localstack/health")
            return endpoint
        except OSError:
            if child.poll() is not None or time.monotonic() > until:
                sys.exit(f"the stand-in did not start; see {LOG}")
            time.sleep(0.05)


def package(program, release):
    """Returns the ZIP file of a Lambda program: the release build of infra/deploy/package, or the debug build."""
    if release:
        return ROOT / "target" / "lambda" / f"{program}.zip"
    binary = target() / "debug" / f"bootstrap-{program}"
    slim = HOME / "bootstrap"
    slim.write_bytes(binary.read_bytes())
    subprocess.run(["strip", str(slim)], check=False)
    packed = HOME / f"{program}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, slim.read_bytes())
    return packed


def deploy(kind, release):
    import boto3
    from botocore.config import Config

    config = Config(region_name=REGION, retries={"max_attempts": 3}, s3={"addressing_style": "path"})
    client = lambda service: boto3.client(service, endpoint_url=kind.endpoint, config=config, aws_access_key_id="test", aws_secret_access_key="test")
    s3 = client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET)
    for program in PROGRAMS:
        s3.upload_file(str(package(program, release)), CODE_BUCKET, f"{program}.zip")
    # CloudFormation takes templates of more than 51,200 bytes only from a bucket.
    s3.upload_file(str(ROOT / "infra" / "deploy" / "template.yaml"), CODE_BUCKET, "template.yaml")
    cloudformation = client("cloudformation")
    parameters = {
        "Prefix": "ledgerdesk",
        "Stage": "local",
        "CodeBucket": CODE_BUCKET,
        "Egress": "loopback",
        "StreamAnswers": kind.stream_answers(),
        "IndexWindowSeconds": "0",
        "VisibilitySeconds": "2" if kind.is_stand_in else "0",
        "DeletionProtection": "false",
        "LogDays": "1",
    }
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{kind.endpoint}/{CODE_BUCKET}/template.yaml",
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    until = time.monotonic() + WAIT_MAX_S
    while True:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            break
        if not stack["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > until:
            for event in reversed(cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]):
                if "FAILED" in event["ResourceStatus"]:
                    print(event["LogicalResourceId"], event.get("ResourceStatusReason", ""), file=sys.stderr)
            sys.exit(f"the stack is {stack['StackStatus']}: {stack.get('StackStatusReason', '')}")
        time.sleep(0.2)
    if kind.is_stand_in:
        # The template engine of the stand-in ignores point-in-time recovery, but its API supports it.
        dynamodb = client("dynamodb")
        for table in ("journal", "feed"):
            recovery = {"PointInTimeRecoveryEnabled": True}
            dynamodb.update_continuous_backups(TableName=f"ledgerdesk-local-{table}", PointInTimeRecoverySpecification=recovery)
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def up(arguments):
    HOME.mkdir(parents=True, exist_ok=True)
    apps = [value for name, value in zip(arguments, arguments[1:]) if name == "--app"] or [DEFAULT_APP]
    given = os.environ.get("AWS_ENDPOINT_URL")
    endpoint = given or start()
    try:
        kind = Kind(endpoint)
        release = "--release" in arguments
        outputs = deploy(kind, release)
        settings = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "LEDGERDESK_URL": kind.url(outputs["ApiId"]),
            "LEDGERDESK_APP": apps[0],
            "LEDGERDESK_PREFIX": outputs["DeskPrefix"],
            "LEDGERDESK_BUCKET": outputs["ArchiveBucket"],
        }
        program = target() / "debug" / "ledgerdesk"
        seeds = [argument for app in apps for argument in ("--app", app)]
        subprocess.run([program, "setup", "--cloud", "--demo", *seeds], env={**os.environ, **settings}, check=True, timeout=WAIT_MAX_S)
        get(settings["LEDGERDESK_URL"] + "/readyz")
    except BaseException:
        if not given:
            down()
        raise
    ENV.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    print(f"running on {kind.name()}; `set -a; . {ENV.relative_to(ROOT)}; set +a` sets:")
    for name, value in settings.items():
        print(f"  {name}={value}")


def pid():
    try:
        return int(PID.read_text())
    except (FileNotFoundError, ValueError):
        return None


def members(group):
    """Returns the running processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            # The fields after the name are state, parent, group and session.
            if group in (int(fields[2]), int(fields[3])) and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def running(group):
    return group is not None and bool(members(group))


def down():
    group = pid()
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not running(group):
            break
        for process in members(group):
            try:
                os.kill(process, sign)
            except ProcessLookupError:
                pass
        until = time.monotonic() + 5
        while running(group) and time.monotonic() < until:
            time.sleep(0.05)
    if running(group):
        sys.exit(f"cannot stop the processes {members(group)}")
    PID.unlink(missing_ok=True)
    ENV.unlink(missing_ok=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["up"]:
        up(sys.argv[2:])
    elif sys.argv[1:] == ["down"]:
        down()
        print("stopped; no process is running")
    else:
        sys.exit("usage: cloud.py up|down")
