// What the scenario calls, in threads and in worker processes.
#include "functions.hpp"

#include <fcntl.h>

#include <cctype>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <stop_token>
#include <thread>

namespace faults {

std::string upper(std::string text) {
  leasepool::log(leasepool::LogLevel::info, "in capitals: " + text);
  for (char& letter : text) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return text;
}

std::vector<int> echo(std::vector<int> numbers) { return numbers; }

int byte_at(leasepool::SharedBuffer buffer, int place) {
  return std::to_integer<int>(buffer.bytes()[static_cast<std::size_t>(place)]);
}

leasepool::Fd pass(leasepool::Fd file) { return file; }

int fail(int number) { throw std::out_of_range("number " + std::to_string(number)); }

int crash(int number) {
  std::raise(SIGSEGV);
  return number;
}

int nap(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

bool has_descriptor(int number) { return ::fcntl(number, F_GETFD) >= 0; }

bool can_read(std::string path) { return static_cast<bool>(leasepool::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))); }

int nap_until(std::stop_token token, int milliseconds) {
  for (int slept = 0; slept < milliseconds && !token.stop_requested(); ++slept) nap(1);
  return milliseconds;
}

}  // namespace faults

using faults::byte_at;
using faults::can_read;
using faults::crash;
using faults::echo;
using faults::fail;
using faults::has_descriptor;
using faults::nap;
using faults::pass;
using faults::upper;
LEASEPOOL_REGISTER(upper);
LEASEPOOL_REGISTER(echo);
LEASEPOOL_REGISTER(pass);
LEASEPOOL_REGISTER(byte_at);
LEASEPOOL_REGISTER(fail);
LEASEPOOL_REGISTER(crash);
LEASEPOOL_REGISTER(nap);
LEASEPOOL_REGISTER(has_descriptor);
LEASEPOOL_REGISTER(can_read);
