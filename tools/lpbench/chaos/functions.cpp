// The function that pools run.
#include "functions.hpp"

#include <chrono>
#include <csignal>
#include <leasepool/function.hpp>
#include <stdexcept>
#include <thread>

#include "../workloads.hpp"
#include "ledger.hpp"

LEASEPOOL_REGISTER(lpbench::chaos::run_noted);

namespace lpbench::chaos {

std::string answer_to(const Request& request) { return std::to_string(request.number) + ':' + request.ballast; }

std::string failure_of(const Request& request) { return "on purpose: " + std::to_string(request.number); }

std::string run_noted(const Request& request) {
  Ledger::of_process(request.ledger).note_run(request.number);
  if (request.microseconds > 0) std::this_thread::sleep_for(std::chrono::microseconds(request.microseconds));
  if (request.work == Work::fail) throw std::runtime_error(failure_of(request));
  if (request.work == Work::crash) request.number % 2 == 0 ? crash_on_purpose() : void(std::raise(SIGKILL));
  return answer_to(request);
}

}  // namespace lpbench::chaos
