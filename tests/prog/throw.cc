// Catches what a library throws: in main, in threads, nested, from an allocation that cannot be met, and at the
// end not at all, which aborts through std::terminate in a child.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

void thrower(int depth);
int alive();

static bool caught(int depth)
{
	try {
		thrower(depth);
	} catch (const std::runtime_error &e) {
		return alive() == 0 || depth < 0;
	}
	return false;
}

int main()
{
	try {
		thrower(5);
	} catch (const std::exception &e) {
		std::cout << e.what() << ", " << alive() << " left\n";
	}
	int good = 0;
	for (int i = 0; i < 50; i++)
		good += caught(3);
	std::thread other([&] { good += caught(2); });
	other.join();
	std::cout << good << " caught\n";
	try {
		std::vector<char> impossible(static_cast<size_t>(1) << 62);
		std::cout << impossible.size();
	} catch (const std::bad_alloc &) {
		std::cout << "bad_alloc\n";
	}
	try {
		try {
			thrower(0);
		} catch (...) {
			std::throw_with_nested(std::logic_error("outer"));
		}
	} catch (const std::exception &e) {
		std::cout << e.what() << "\n";
	}
	std::cout.flush();
	if (pid_t child = fork()) {
		int status = 0;
		waitpid(child, &status, 0);
		std::printf("child ended by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		return 0;
	}
	thrower(1);
}
