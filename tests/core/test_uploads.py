"""A large upload has no name in the temporary folder, so a killed process leaves nothing behind."""

import tempfile

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import RequestFactory

from core.uploads import UnnamedFileHandler


def test_upload_is_read_back_and_leaves_no_name_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = b"name\n" + b"x" * settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    request = RequestFactory().post("/", {"file": SimpleUploadedFile("list.csv", content)})

    upload = request.FILES["file"]

    assert list(tmp_path.iterdir()) == []
    assert (upload.name, upload.size, b"".join(upload.chunks())) == ("list.csv", len(content), content)


def test_interrupted_upload_closes_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    handler = UnnamedFileHandler()
    handler.upload_interrupted()
    handler.new_file("file", "list.csv", "text/csv", 10, QueryDict(), {})
    handler.receive_data_chunk(b"name", 0)

    assert list(tmp_path.iterdir()) == []
    handler.upload_interrupted()
    assert handler._file.closed
