% Linear algebra with Octave, each result checked and summed up.
% usage: octave-cli octave_linalg.m [n]
args = argv();
n = 600;
if (numel(args) > 0)
  n = str2double(args{end});
end
rand("twister", 3);
a = rand(n) - 0.5;
b = rand(n) - 0.5;
x = rand(n, 1);
tic;
c = a * b;
g = a * a';
spd = g + n * eye(n);
r = chol(spd);
s = spd \ b;
seconds = toc;
worst = max([norm(c * x - a * (b * x)), norm(g * x - a * (a' * x)), ...
             norm(r' * (r * x) - spd * x), norm(spd * (s * x) - b * x)]) / n;
printf("octave_linalg n=%d residual=%.1e\n", n, worst);
printf("checksum=%.10e\n", norm(c, "fro") + norm(g, "fro") + norm(r, "fro") + norm(s, "fro"));
printf("seconds=%.6f\n", seconds);
if (! (worst < 1e-10))
  error("wrong result");
end
