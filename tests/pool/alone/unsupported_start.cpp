// A start that the system cannot give, and what it says.
#include <string>

#include "alone.hpp"
#include "pool/harness.hpp"

std::string alone::message_of_unsupported_start(leasepool::Loop& loop) {
  leasepool::test::TestPool pool(loop, leasepool::ExecutorBackend::process, 1);
  const auto started = pool.start();
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().code() == leasepool::Errc::unsupported);
  check_row("unsupported", started.error().message());
  return started.error().message();
}
