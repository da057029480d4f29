// Functions that handle what came from outside, shut in: they compute, and reach nothing.
#include <leasepool/leasepool.hpp>

#include <sys/ptrace.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

// What we meant it to do.
std::size_t count_lines(const std::string& document) {
  std::size_t lines = 0;
  for (const char c : document) lines += c == '\n' ? 1 : 0;
  return lines;
}

// What it could be made to do, by a document that finds a hole in it.
std::string steal(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot open " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}
long take_over(int program) { return ::ptrace(PTRACE_SEIZE, program, nullptr, nullptr); }

LEASEPOOL_REGISTER(count_lines);
LEASEPOOL_REGISTER(steal);
LEASEPOOL_REGISTER(take_over);

leasepool::Task<> app(leasepool::Loop& loop) {
  leasepool::ManagerOptions options;
  options.backend = leasepool::ExecutorBackend::process;
  options.max_pools = 1;
  options.workers_per_pool = 1;
  options.log = [](const leasepool::LogRecord&) {};
  options.sandbox = leasepool::Sandbox::compute();
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();  // fails with Errc::unsupported where the kernel cannot do it
  {
    const leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "documents"});
    const std::size_t lines = co_await lease.run(count_lines, "one\ntwo\n");
    std::cout << lines << " lines\n";
    try {
      (void)co_await lease.run(steal, "/etc/passwd");
    } catch (const std::runtime_error& error) {
      std::cout << error.what() << '\n';
    }
    try {
      (void)co_await lease.run(take_over, ::getpid());
    } catch (const leasepool::LeasePoolError& error) {
      const std::string said = error.what();
      std::cout << error.code().message() << ": "
                << said.substr(said.find("it tried"), said.find(") while") - said.find("it tried")) << '\n';
    }
    const std::size_t more = co_await lease.run(count_lines, "three\n");
    std::cout << more << " more\n";
  }
  std::cout << name_of(manager.stats().sandbox->profile) << '\n';
  co_await manager.stop();
}

int main() {
  leasepool::init();
  leasepool::Loop loop;
  try {
    loop.block_on(app(loop));
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() != leasepool::Errc::unsupported) throw;
    std::cerr << error.what() << '\n';
    return 77;  // this machine cannot do it: the tests count the example as skipped
  }
}
