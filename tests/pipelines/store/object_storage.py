"""An S3 server on this machine, in a process of its own: Delta Lake holds the interpreter's lock while it waits for an answer."""

import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    """Serve on a free port, print it, and stop when standard input closes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)  # noqa: T201  # the parent reads it
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
