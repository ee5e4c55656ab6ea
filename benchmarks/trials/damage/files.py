"""Damage to files and folders, whatever they hold."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from trials.damage.kinds import files, kind, one

FOREIGN = (
    b"method,score\nrandom,0.5\n",
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
    b"PAR1\x15\x04\x15\x00PAR1",
    b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    b"\xff\xfe{\x00}\x00",
    b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, ), }",
    b"",
)


# Bytes


@kind
def an_empty_file(rng, folder):
    (path := one(rng, files(folder))).write_bytes(b"")
    return path


@kind
def a_file_cut_off(rng, folder):
    path = one(rng, files(folder))
    os.truncate(path, int(rng.integers(path.stat().st_size)))
    return path


@kind
def flipped_bits(rng, folder):
    path = one(rng, files(folder))
    content = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 9))):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return path


@kind
def a_block_of_random_bytes(rng, folder):
    path = one(rng, files(folder))
    content = bytearray(path.read_bytes())
    start = int(rng.integers(len(content)))
    end = min(start + int(rng.integers(1, 600)), len(content))
    content[start:end] = rng.bytes(end - start)
    path.write_bytes(content)
    return path


@kind
def bytes_at_the_end(rng, folder):
    path = one(rng, files(folder))
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 200))))
    return path


@kind
def a_foreign_file(rng, folder):
    (path := one(rng, files(folder))).write_bytes(one(rng, FOREIGN))
    return path


@kind
def a_file_of_another_kind(rng, folder):
    """A file of the store under the name of another."""
    into, source = one(rng, files(folder)), one(rng, files(folder))
    into.write_bytes(source.read_bytes())
    return into


@kind
def a_missing_file(rng, folder):
    (path := one(rng, files(folder))).unlink()
    return path


# What is no plain file


@kind
def an_unreadable_file(rng, folder):
    (path := one(rng, files(folder))).chmod(0)
    return path


@kind
def a_pipe(rng, folder):
    (path := one(rng, files(folder))).unlink()
    os.mkfifo(path)
    return path


@kind
def a_socket(rng, folder):
    (path := one(rng, files(folder))).unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # the paths of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)
    return path


@kind
def a_folder_in_place_of_a_file(rng, folder):
    (path := one(rng, files(folder))).unlink()
    path.mkdir()
    (path / "file").write_bytes(one(rng, FOREIGN))
    return path


@kind
def a_link_to_itself(rng, folder):
    (path := one(rng, files(folder))).unlink()
    path.symlink_to(path.name)
    return path


@kind
def a_link_to_nothing(rng, folder):
    (path := one(rng, files(folder))).unlink()
    path.symlink_to("nothing")
    return path


@kind
def a_link_out_of_the_store(rng, folder):
    path = one(rng, files(folder))
    outside = folder.parent / "outside" / path.name
    outside.parent.mkdir(exist_ok=True)
    shutil.move(path, outside)
    path.symlink_to(outside)
    return path


# Files that nobody asked for


@kind
def a_stray_file(rng, folder):
    beside = one(rng, files(folder))
    name = one(rng, ("._" + beside.name, "stray" + beside.suffix, "._x.json"))
    (path := beside.with_name(name)).write_bytes(one(rng, FOREIGN) or b"\0\5\26\7")
    return path


@kind
def a_stray_pipe_or_link(rng, folder):
    beside = one(rng, files(folder))
    path = beside.with_name("stray" + beside.suffix)
    one(rng, (os.mkfifo, os.mkdir, lambda p: os.symlink(p, p), lambda p: os.symlink("/", p)))(path)
    return path


# Folders


def folders(folder: Path) -> list[Path]:
    found = [p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()]
    return sorted(found) or [folder]


@kind
def a_link_in_place_of_a_folder(rng, folder):
    path = one(rng, folders(folder))
    if path == folder:
        return a_link_out_of_the_store(rng, folder)
    outside = folder.parent / "outside" / path.name
    outside.parent.mkdir(exist_ok=True)
    if rng.random() < 0.5:
        shutil.move(path, outside)
        path.symlink_to(outside)
    else:
        shutil.rmtree(path)
        path.symlink_to(path.name)
    return path


@kind
def a_file_in_place_of_a_folder(rng, folder):
    path = one(rng, folders(folder))
    if path == folder:
        return a_foreign_file(rng, folder)
    shutil.rmtree(path)
    path.write_bytes(one(rng, FOREIGN))
    return path


@kind
def an_unreadable_folder(rng, folder):
    path = one(rng, folders(folder))
    if path == folder:
        return an_unreadable_file(rng, folder)
    path.chmod(0)
    return path


@kind
def a_link_to_the_store_in_itself(rng, folder):
    path = one(rng, folders(folder)) / "loop"
    path.symlink_to(folder)
    return path


@kind
def something_called_set_aside(rng, folder):
    path = folder / "set-aside"
    made = one(rng, (lambda: path.write_text("x"), lambda: path.symlink_to("/"), path.mkdir))
    made()
    an_empty_file(rng, folder)
    return path
