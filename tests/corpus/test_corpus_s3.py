"""Sources in S3, against a real server: found, cut, read in another process, and known again by their ETags."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from polyglot_lm.corpus.sources import files_of
from polyglot_lm.pipeline import UserError

pytestmark = pytest.mark.slow  # the server takes some seconds to start

LINES = [json.dumps({"text": f"문서 {number}"}) for number in range(500)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        system = s3fs.S3FileSystem()
        system.mkdir("texts")
        system.pipe("texts/web/ko/a.jsonl", "\n".join(LINES).encode())
        system.pipe("texts/web/ko/b.txt", "하나\n\n둘".encode())
        yield "s3://texts/web"
    server.stop()


def test_slices_of_an_object_hold_what_the_object_holds(bucket: str) -> None:
    tasks = files_of(bucket, "ko", slice_bytes=2000).tasks()
    found = [record for task in tasks for record in task.records()]
    assert len(tasks) > 5
    assert [json.dumps({"text": record[2]}) for record in found[:-2]] == LINES
    assert [record[:2] for record in found[-3:]] == [("*/a.jsonl", 499), ("*/b.txt", 0), ("*/b.txt", 1)]


def test_a_task_is_carried_out_by_another_process(bucket: str) -> None:
    code = f"""
from polyglot_lm.corpus.sources import files_of
print(sum(1 for task in files_of({bucket!r}, "ko").tasks() for record in task.records()))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "502"


def test_an_object_is_known_by_its_checksum(bucket: str) -> None:
    import s3fs

    system = s3fs.S3FileSystem()
    first = files_of(bucket, "ko")
    system.pipe("texts/web/ko/a.jsonl", "\n".join(LINES).encode())
    system.invalidate_cache()
    assert files_of(bucket, "ko").identity() == first.identity()
    system.pipe("texts/web/ko/a.jsonl", "\n".join(LINES).replace("1", "2").encode())
    system.invalidate_cache()
    assert files_of(bucket, "ko").identity() != first.identity()
    with pytest.raises(UserError, match=r"s3://texts/web/ko/a\.jsonl changed while it was read"):
        list(first.tasks()[0].records())
    system.pipe("texts/web/ko/a.jsonl", "\n".join(LINES).encode())


def test_a_bucket_that_is_not_there_is_said_in_a_sentence(bucket: str) -> None:
    with pytest.raises(UserError, match="s3://nowhere/web"):
        files_of("s3://nowhere/web", "ko")
