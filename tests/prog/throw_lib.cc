// A library whose functions throw through its border, with objects to be unwound on the way.

#include <stdexcept>
#include <string>
#include <vector>

struct Counted {
	static int alive;
	std::vector<double> data;
	explicit Counted(size_t n) : data(n, 1.0) { alive++; }
	~Counted() { alive--; }
};
int Counted::alive = 0;

void thrower(int depth)
{
	Counted large(400000);
	if (depth == 0)
		throw std::runtime_error("thrown with " + std::to_string(Counted::alive) + " alive");
	thrower(depth - 1);
}

int alive()
{
	return Counted::alive;
}
