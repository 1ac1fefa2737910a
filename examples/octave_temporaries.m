% Expressions whose intermediate results are large: each is allocated, used once, and freed.
% usage: octave-cli octave_temporaries.m [n [rounds]]
args = argv();
n = 600;
rounds = 5;
if (numel(args) > 0)
  n = str2double(args{1});
end
if (numel(args) > 1)
  rounds = str2double(args{2});
end
rand("twister", 5);
a = (rand(n) - 0.5) / sqrt(n);
b = rand(n) - 0.5;
c = rand(n) - 0.5;
x = rand(n, 1);
total = 0;
worst = 0;
tic;
for i = 1:rounds
  d = a * b + c';
  e = (a' * d - 2 * b) * 0.5 + (d .* c);
  r = chol(d * d' / n + 2 * eye(n));
  s = (a + 3 * eye(n)) \ (e + d');
  b = s / norm(s, "fro") * sqrt(n) + 0.5 * b;
  total += norm(e, "fro") + norm(r, "fro") + norm(s, "fro");
  worst = max([worst, norm(r' * (r * x) - (d * (d' * x) / n + 2 * x)), norm(a * (s * x) + 3 * (s * x) - (e * x + d' * x))] / n);
end
seconds = toc;
printf("octave_temporaries n=%d rounds=%d residual=%.1e\n", n, rounds, worst);
printf("checksum=%.10e\n", total);
printf("seconds=%.6f\n", seconds);
if (! (worst < 1e-10))
  error("wrong result");
end
