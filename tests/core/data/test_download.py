"""Downloads from a server on this machine, whole and broken; and archives that try to escape."""

import hashlib
import io
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ganrun.data.download import DownloadError, data_cache, fetch, unpack

BODY = bytes(range(256)) * 40
SIZE = len(BODY)
SHA = hashlib.sha256(BODY).hexdigest()


class Server:
    """Serves BODY; remembers the requests and behaves as badly as it is set to."""

    def __init__(self, ranges=True, body=BODY, stop_after=None, wrong_range=False, length=None):
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                return

            def do_GET(self):
                asked = self.headers.get("Range")
                outer.requests.append(asked)
                if self.path == "/missing":
                    return self.send_error(404)
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
                if start >= len(body):
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body) - start) if length is None else length)
                if start:
                    self.send_header(
                        "Content-Range", f"bytes {0 if wrong_range else start}-{len(body) - 1}/{len(body)}"
                    )
                self.end_headers()
                self.wfile.write(body[start:][: outer.stop_after])

        self.stop_after = stop_after
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"


@pytest.fixture
def serve():
    servers = []

    def start(**how):
        servers.append(Server(**how))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "file.bin"


def get(url, path, size=SIZE, sha256=SHA):
    return fetch(url, path, size=size, sha256=sha256, progress=False)


def test_a_file_is_fetched_once(serve, path):
    server = serve()
    assert get(server.url, path).read_bytes() == BODY
    get(server.url, path)
    assert server.requests == [None]
    assert sorted(p.name for p in path.parent.iterdir()) == ["file.bin", "file.bin.lock"]


def test_without_a_known_size_and_hash_the_servers_length_is_checked(serve, path):
    server = serve(stop_after=100)
    with pytest.raises(DownloadError, match="after 100 of 10240 bytes"):
        get(server.url, path, size=None, sha256=None)
    server.stop_after = None
    assert get(server.url, path, size=None, sha256=None).read_bytes() == BODY


def test_a_cut_connection_leaves_a_part_that_is_continued(serve, path):
    server = serve(stop_after=1000)
    with pytest.raises(DownloadError, match="after 1000 of 10240 bytes"):
        get(server.url, path)
    assert not path.exists()
    server.stop_after = None
    assert get(server.url, path).read_bytes() == BODY
    assert server.requests == [None, "bytes=1000-"]


@pytest.mark.parametrize("how", [{"ranges": False}, {"wrong_range": True}])
def test_a_server_that_does_not_honour_ranges_sends_everything_again(serve, path, how):
    server = serve(stop_after=1000, **how)
    with pytest.raises(DownloadError):
        get(server.url, path)
    server.stop_after = None
    assert get(server.url, path).read_bytes() == BODY


@pytest.mark.parametrize("left", [b"x" * 500, b"x" * len(BODY), b"x" * (len(BODY) + 5)])
def test_a_part_of_another_file_is_thrown_away_and_the_file_fetched_from_the_start(serve, path, left):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(left)
    assert get(serve().url, path).read_bytes() == BODY


def test_a_wrong_hash_is_refused_and_nothing_is_kept(serve, path):
    with pytest.raises(DownloadError, match=f"its SHA-256 is {SHA}, not 00"):
        get(serve().url, path, sha256="00")
    assert [p.name for p in path.parent.iterdir()] == ["file.bin.lock"]


@pytest.mark.parametrize(
    ("size", "message"), [(len(BODY) - 1, "more than 10239 bytes"), (len(BODY) + 1, "10240 of 10241 bytes")]
)
def test_a_wrong_size_is_refused(serve, path, size, message):
    with pytest.raises(DownloadError, match=message):
        get(serve().url, path, size=size)
    assert not path.exists()


def test_a_file_placed_by_hand_is_used_without_a_connection_and_verified(path):
    path.parent.mkdir()
    path.write_bytes(BODY)
    assert get("http://127.0.0.1:9/file.bin", path) == path
    path.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(DownloadError, match=r"is not the expected file.*\nDelete it"):
        get("http://127.0.0.1:9/file.bin", path)


def test_without_a_connection_the_error_says_what_to_place_where(path):
    with pytest.raises(DownloadError) as caught:
        get("http://127.0.0.1:9/file.bin", path)
    text = str(caught.value)
    assert "http://127.0.0.1:9/file.bin" in text
    assert f"(10240 bytes, SHA-256 {SHA})" in text
    assert text.endswith(f"\n  {path}")
    assert "refused" in text


def test_a_missing_file_names_the_servers_answer(serve, path):
    with pytest.raises(DownloadError, match="the server answers 404"):
        get(serve().url.replace("file.bin", "missing"), path)


def test_of_several_processes_one_downloads_and_the_others_wait(serve, path):
    server = serve()
    code = (
        "from pathlib import Path\n"
        "from ganrun.data.download import fetch\n"
        f"fetch({server.url!r}, Path({str(path)!r}), size={len(BODY)}, sha256={SHA!r})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    assert server.requests == [None]


def test_progress_is_shown_on_a_terminal_and_in_one_line_elsewhere(serve, path, monkeypatch, capsys):
    server = serve()
    fetch(server.url, path, size=SIZE, sha256=SHA)
    assert capsys.readouterr().err == "downloading file.bin (0 MB)\n"
    path.unlink()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch(server.url, path, size=SIZE, sha256=SHA)
    assert "file.bin" in capsys.readouterr().err


def test_a_lock_file_that_was_left_behind_locks_nothing(serve, path):
    path.parent.mkdir()
    path.with_name("file.bin.lock").write_text("12345")
    assert get(serve().url, path).exists()


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="GANRUN_DATA"):
        get("http://127.0.0.1:9/x", tmp_path / "file" / "x")


def test_the_cache_is_ganrun_data_or_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "mine"))
    assert data_cache() == tmp_path / "mine"
    monkeypatch.delenv("GANRUN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_cache() == tmp_path / "ganrun"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative is to be ignored")
    assert data_cache() == Path.home() / ".cache" / "ganrun"


# --- unpacking -------------------------------------------------------------------------------------------------


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_is_unpacked_whole_and_its_inner_folder_is_taken(tmp_path, make):
    archive = make(tmp_path / "a.bin", {"set/trainA/1.jpg": "one", "set/trainB/2.jpg": "two", "readme": "x"})
    folder = unpack(archive, tmp_path / "set", inner="set")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.jpg")) == ["trainA/1.jpg", "trainB/2.jpg"]
    assert (unpack(archive, tmp_path / "all") / "readme").read_text() == "x"


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt", "C:/out.txt"])
def test_a_member_that_leads_out_of_the_folder_is_refused(tmp_path, make, name):
    archive = make(tmp_path / "a.bin", {"fine.txt": "1", name: "2"})
    with pytest.raises(DownloadError, match="leads out of the folder"):
        unpack(archive, tmp_path / "deep" / "er")
    assert not list(tmp_path.rglob("*.txt"))
    assert not (tmp_path / "deep" / "er").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_device_files_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(DownloadError, match="'link' is a link or device file"):
        unpack(make_tar(tmp_path / "a.tar.gz", {info: ""}), tmp_path / "set")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with pytest.raises(DownloadError, match="'link' is a link"):
        unpack(make_zip(tmp_path / "a.zip", {info: "/etc/passwd"}), tmp_path / "set")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    archive = make_zip(tmp_path / "bomb.zip", {f"{i}": "0" * 10_000 for i in range(10)})
    with pytest.raises(DownloadError, match="more than 50000 bytes"):
        unpack(archive, tmp_path / "set", limit=50_000)
    assert not (tmp_path / "set").exists()


def test_a_broken_archive_and_a_missing_inner_folder_are_refused(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DownloadError, match=r"broken\.zip: cannot be unpacked"):
        unpack(tmp_path / "broken.zip", tmp_path / "set")
    with pytest.raises(DownloadError, match="no folder 'b'"):
        unpack(make_zip(tmp_path / "a.zip", {"a/x": "1"}), tmp_path / "set", inner="b")


def test_what_a_killed_process_left_half_unpacked_is_not_taken_for_the_data(tmp_path):
    half = tmp_path / "set.unpacking"
    half.mkdir()
    (half / "old").write_text("")
    unpack(make_zip(tmp_path / "a.zip", {"new": "1"}), tmp_path / "set")
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["new"]


@pytest.mark.parametrize("length", ["many", "", "-5", "1e3", "9" * 5000])
def test_a_length_that_is_no_number_is_not_used(serve, path, length):
    assert fetch(serve(length=length).url, path, size=None, sha256=None).read_bytes() == BODY


@pytest.mark.parametrize("name", ["", ".", "./", "a/../.."])
def test_a_member_without_a_name_or_with_one_that_leads_nowhere_is_refused(tmp_path, name):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    archive = make_zip(tmp_path / "a.zip", {info: "content"})
    if name == "./":  # the folder itself
        assert list(unpack(archive, tmp_path / "set").iterdir()) == []
        return
    with pytest.raises(DownloadError, match=r"a\.zip: cannot be unpacked as .*(has no name|leads out)"):
        unpack(archive, tmp_path / "set")
    assert not (tmp_path / "set").exists()
