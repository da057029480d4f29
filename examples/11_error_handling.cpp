// What can go wrong in a call, and how it comes back: the function's own exceptions, time-outs, and crashes.
#include <leasepool/leasepool.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <stdexcept>
#include <stop_token>
#include <string>

using namespace std::chrono_literals;
using leasepool::Errc;
using leasepool::ExecutorBackend;

int parse(const std::string& text) { return std::stoi(text); }
int crash(int signal) { return std::raise(signal); }
// Heeds a stop that is requested: on a thread, which cannot be killed, that is the only way to end it.
void hang(const std::stop_token& stop) {
  while (!stop.stop_requested()) ::usleep(1000);
}
LEASEPOOL_REGISTER(parse);
LEASEPOOL_REGISTER(crash);
LEASEPOOL_REGISTER(hang);

leasepool::Task<> try_everything(leasepool::Loop& loop, ExecutorBackend backend) {
  leasepool::ManagerOptions options;
  options.backend = backend;
  options.max_pools = 1;
  options.log = [](const leasepool::LogRecord&) {};  // a crash is worth a warning: not in this example
  leasepool::LeasedExecutorManager manager(loop, options);
  co_await manager.start();
  leasepool::ExecutorLease lease = co_await manager.acquire({.owner = "errors"});

  // The function's exception is thrown by the await, as if the function had been called here.
  try {
    co_await lease.run(parse, "forty-two");
  } catch (const std::invalid_argument&) {
    std::cout << "  no number: std::invalid_argument\n";
  }

  // What the library itself finds is a LeasePoolError. Its code says what; what() is for people.
  try {
    co_await lease.with({.timeout = 50ms}).run(hang);
  } catch (const leasepool::LeasePoolError& error) {
    std::cout << "  too slow: " << error.code().message() << '\n';
  }

  // A worker process that dies costs the one call that it ran. (A thread would take the program with it.)
  if (backend == ExecutorBackend::process) {
    try {
      co_await lease.run(crash, SIGSEGV);
    } catch (const leasepool::LeasePoolError& error) {
      if (error.code() == Errc::worker_crashed) std::cout << "  a crash: " << error.code().message() << '\n';
    }
  }

  // A callback gets a Result<T>: the value, or an Error with the same code and text, and nothing is thrown.
  bool done = false;
  lease.run_async(parse, "9999999999", [&done](const leasepool::Result<int>& result) {
    if (!result) {
      std::cout << "  in a callback: " << result.error().code().message() << '\n';
      try {
        result.error().raise();  // the exception itself, for who wants it
      } catch (const std::out_of_range&) {
        std::cout << "  which is a std::out_of_range\n";
      }
    }
    done = true;
  });
  while (!done) co_await loop.sleep(1ms);

  // None of this has harmed the lease.
  const int number = co_await lease.run(parse, "42");
  std::cout << "  still good: " << number << '\n';

  lease.release();
  try {
    co_await lease.run(parse, "43");
  } catch (const leasepool::LeasePoolError& error) {
    std::cout << "  after release: " << error.code().message() << '\n';
  }
  co_await manager.stop();
}

leasepool::Task<> app(leasepool::Loop& loop) {
  std::cout << "threads:\n";
  co_await try_everything(loop, ExecutorBackend::thread);
  std::cout << "processes:\n";
  co_await try_everything(loop, ExecutorBackend::process);
}

int main() {
  leasepool::init();  // for the processes
  leasepool::Loop loop;
  loop.block_on(app(loop));
}
