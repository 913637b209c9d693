"""What every row of the comparison needs: the peers, processes and their memory, the machine, tables."""
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"         # Debian's, whatever other one comes first in PATH
PEER_PACKAGES = ["python3-torch", "python3-torchvision", "python3-pil"]


def as_root(*command):
    return list(command) if os.geteuid() == 0 else ["sudo", *command]


def install(work):
    """Debian's PyTorch, npm's ONNX Runtime."""
    have = subprocess.run([PYTHON, "-c", "import torch, torchvision, PIL"], capture_output=True).returncode == 0
    npm = subprocess.run(["sh", "-c", "command -v npm"], capture_output=True).returncode == 0
    if not have or not npm:
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(as_root("apt-get", "update", "-qq"), check=True)
        subprocess.run(as_root("apt-get", "install", "-y", "-qq", "--no-install-recommends", *PEER_PACKAGES,
                               *([] if npm else ["nodejs", "npm"])), check=True, env=env)
    if not os.path.isdir(os.path.join(work, "node_modules", "onnxruntime-node")):
        subprocess.run(["npm", "install", "--prefix", work, "--no-audit", "--no-fund", "--ignore-scripts", "--silent",
                        "onnxruntime-node"], check=True)


def ask(command, env=None):
    """Runs a program that prints one line of JSON: that, with the seconds and the peak memory of the whole process
    (of its largest one, if it starts others); None, and why, if it fails."""
    since = time.perf_counter()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        # Few lines come out: neither pipe fills up while the other is read.
        text, trouble = child.stdout.read(), child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        print("%s: %s" % (" ".join(command[:2]), (trouble.strip().splitlines() or ["?"])[-1]), file=sys.stderr)
        return None
    out = json.loads(text) if text.lstrip().startswith("{") else {}
    out["whole_s"] = time.perf_counter() - since
    out["rss"] = usage.ru_maxrss * 1024
    return out


class Side:
    """Values of one side over the rounds."""

    def __init__(self):
        self.values, self.rss, self.broken = [], 0, False

    def take(self, answer, value):
        if answer is None:
            self.broken = True
            return
        self.values.append(value(answer))
        self.rss = max(self.rss, answer["rss"])

    @property
    def median(self):
        return statistics.median(self.values) if self.values else None

    @property
    def spread(self):
        """Largest - smallest, in % of the median."""
        if len(self.values) < 2:
            return ""
        return "%.0f %%" % (100 * (max(self.values) - min(self.values)) / self.median)


def alternate(sides, rounds, limit=None):
    """Runs the sides in turn: sides is [(ask, value)].  After a round that took more than `limit` seconds there is
    no further one."""
    got = [Side() for _ in sides]
    for _ in range(rounds):
        since = time.perf_counter()
        for side, (run, value) in zip(got, sides):
            if not side.broken:
                side.take(run(), value)
        if limit and time.perf_counter() - since > limit:
            break
    return got


def number(v, digits=1):
    return "–" if v is None else "%.*f" % (digits, v)


def ratio(a, b, digits=2):
    return number(a / b if a and b else None, digits)


def megabytes(side):
    return "%.0f" % (side.rss / 1e6) if side.rss else "–"


def table(title, head, rows, notes=""):
    lines = ["## " + title, ""] + ([notes, ""] if notes else [])
    lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout.strip().splitlines() or ["?"])[0]


def machine(work):
    """What the numbers were measured on, without naming the machine."""
    text = open("/proc/cpuinfo").read()
    model = re.search(r"model name\s*: (.*)", text)
    flags = set((re.search(r"flags\s*: (.*)", text) or [0, ""])[1].split())
    known = [f for f in ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "amx_tile") if f in flags]
    memory = int(re.search(r"MemTotal:\s*(\d+)", open("/proc/meminfo").read())[1]) / 2 ** 20
    versions = first_line(PYTHON, "-c", "import torch, torchvision, PIL; print('PyTorch', torch.__version__, "
                          "'torchvision', torchvision.__version__, 'Pillow', PIL.__version__)")
    with open(os.path.join(work, "node_modules", "onnxruntime-node", "package.json")) as f:
        ort = json.load(f)["version"]
    return ["| | |", "|---|---|",
            "| processor | %s (%s), %d cores |" % (model[1] if model else "?", platform.machine(),
                                                  len(os.sched_getaffinity(0))),
            "| instructions | %s |" % " ".join(known), "| memory | %.0f GiB |" % memory,
            "| system | %s %s |" % (platform.system(), platform.release().split("-")[0]),
            "| compiler | %s |" % first_line("cc", "--version"),
            "| peers | ONNX Runtime %s (npm), %s (Debian) |" % (ort, versions)]
