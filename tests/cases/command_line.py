"""Commands as users type them, in this process."""

from acepure.cli import main


def run(command, capsys):
    """The exit code, and what was written to stdout and stderr."""
    code = main(command.split())
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def failure(command, capsys):
    """The single line of an expected error."""
    code, _, err = run(command, capsys)
    assert code == 2
    assert "Traceback" not in err
    return err.rstrip("\n").splitlines()[-1]
