// A TCP service: a client sends lines, and gets for each how many primes are below that number. Worker processes
// compute them, so a line that crashes or hangs costs itself alone. docs/service.md goes through it step by step.
// usage: service [PORT]
#include <leasepool/leasepool.hpp>

#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using leasepool::Errc;

constexpr std::size_t kLongestLine = 1024;     // bytes
constexpr std::size_t kServedAtOnce = 100;     // connections
constexpr std::size_t kMostConnections = 200;  // those that wait to be served included
constexpr auto kTimeForClient = 5s;            // to send a line, or to take its answer
constexpr auto kTimeForLine = 2s;              // to be computed
constexpr auto kWaitForWorker = 500ms;
constexpr auto kTimeToFinish = 3s;  // after a signal

// Runs in a worker process.
std::string count_primes_below(const std::string& line) {
  if (line == "crash") std::abort();
  while (line == "hang") ::pause();
  const unsigned long limit = std::stoul(line);  // throws for what is no number
  unsigned long count = 0;
  for (unsigned long number = 2; number < limit; ++number) {
    unsigned long divisor = 2;
    while (divisor * divisor <= number && number % divisor != 0) ++divisor;
    count += divisor * divisor > number ? 1 : 0;
  }
  return std::to_string(count);
}
LEASEPOOL_REGISTER(count_primes_below);

// Of the task of one connection. The others go on.
void report(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const leasepool::LeasePoolError& error) {
    const bool hung_up = error.code() == Errc::end_of_stream && error.transferred() == 0;
    if (!hung_up) std::cerr << error.what() << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

class Service {
 public:
  Service(leasepool::Loop& loop, int port)
      : loop_(loop),
        signals_(loop, {SIGTERM, SIGINT}),
        workers_(loop, {.backend = leasepool::ExecutorBackend::process,
                        .max_pools = 2,
                        .min_pools = 2,
                        .workers_per_pool = 1,
                        .name_prefix = "service",
                        .max_waiters = 50,
                        .stop_timeout = 1s}),
        listener_(loop, {.host = "127.0.0.1", .port = port}),
        connections_(loop, {.limit = kServedAtOnce, .on_error = report}) {}

  // Until a signal comes.
  leasepool::Task<> run() {
    auto started = workers_.start();
    co_await started;
    std::cout << "listening on port " << listener_.port() << std::endl;

    auto signalled = leasepool::when_any(signals_.next(), accept_clients());
    co_await signalled;
    listener_.close();  // who connects now is refused
    stopping_ = true;   // who waits for an answer gets it, and no other
    auto finished = leasepool::when_any(connections_.join(), loop_.sleep(kTimeToFinish));
    co_await finished;
    connections_.cancel();  // those that are left
    auto gone = connections_.join();
    co_await gone;
    auto stopped = workers_.stop();
    co_await stopped;
  }

 private:
  leasepool::Task<> accept_clients() {
    for (;;) {
      auto accepting = listener_.accept();
      leasepool::Stream client = co_await accepting;
      if (connections_.size() < kMostConnections) connections_.spawn(serve(std::move(client)));
    }
  }

  leasepool::Task<> serve(leasepool::Stream client) {
    std::array<char, kLongestLine> line{};
    while (!stopping_) {
      auto reading = client.read_until(std::as_writable_bytes(std::span(line)), "\n", {.timeout = kTimeForClient});
      const std::size_t size = co_await reading;
      auto computing = answer_to(std::string(line.data(), size - 1));
      const std::string answer = co_await computing;
      auto writing = client.write(answer, {.timeout = kTimeForClient});
      co_await writing;
    }
  }

  // Always one line, whatever becomes of the call.
  leasepool::Task<std::string> answer_to(std::string line) {
    leasepool::ExecutorLease worker;
    try {
      auto acquiring = workers_.acquire({.owner = "line", .timeout = kWaitForWorker});
      worker = co_await acquiring;
    } catch (const leasepool::LeasePoolError&) {
      co_return "busy\n";
    }
    try {
      auto call = worker.with({.timeout = kTimeForLine}).run(count_primes_below, std::move(line));
      const std::string count = co_await call;
      co_return count + "\n";
    } catch (const leasepool::LeasePoolError& error) {
      co_return "error: " + error.code().message() + "\n";  // timed out, or worker crashed
    } catch (const std::exception& error) {
      co_return std::string("error: ") + error.what() + "\n";  // the function's own
    }
  }

  leasepool::Loop& loop_;
  leasepool::SignalSet signals_;
  leasepool::LeasedExecutorManager workers_;
  leasepool::TcpListener listener_;
  leasepool::TaskGroup connections_;
  bool stopping_ = false;
};

int main(int argc, char** argv) {
  leasepool::init();  // first: while the program has one thread
  try {
    leasepool::Loop loop;
    Service service(loop, argc > 1 ? std::atoi(argv[1]) : 7000);
    loop.block_on(service.run());
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
