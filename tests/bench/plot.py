"""Lines in an SVG, by gnuplot."""
import os
import shutil
import subprocess


def available():
    return shutil.which("gnuplot") is not None


def quote(text):
    return "'" + text.replace("'", "''") + "'"


def lines(path, title, xlabel, ylabel, series, thick=None, log="xy", level=None):
    """series: {label: [(x, y)]}. thick: the label whose line stands out. level: y of a line across."""
    head = ["set terminal svg noenhanced size 900,600 dynamic background 'white' font 'sans,13'", f"set output {quote(path)}",
            f"set title {quote(title)}", f"set xlabel {quote(xlabel)}", f"set ylabel {quote(ylabel)}", f"set logscale {log}",
            "set key outside right top", "set grid xtics ytics lc rgb '#dddddd'", "set xtics (4,16,64,256,1024,4096)",
            "set xrange [3:5500]"]
    parts = [f"{level} with lines dt 2 lc rgb '#888888' notitle"] if level is not None else []
    for i, (label, points) in enumerate(series.items()):
        style = "lw 4 pt 7 ps 0.5 lc rgb '#000000'" if label == thick else f"lw 1.5 pt {i + 1} ps 0.5 lt {i + 1}"
        head += [f"$data{i} << END", *(f"{x} {y:.6g}" for x, y in points), "END"]
        parts.append(f"$data{i} with linespoints {style} title {quote(label)}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    script = "\n".join([*head, "plot " + ", ".join(parts), ""])
    run = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, env=dict(os.environ, LC_ALL="C"))
    if run.returncode:
        raise RuntimeError(f"gnuplot: {run.stderr.strip()}")
