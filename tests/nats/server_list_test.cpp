// Tests of lists of servers, and of the pauses between attempts to reach them.
#include "nats/server_list.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "nats/backoff.hpp"
#include "nats/input_buffer.hpp"

namespace server_list_test {

using leasepool::Duration;
using leasepool::TimePoint;
using leasepool::detail::nats::Backoff;
using leasepool::detail::nats::InputBuffer;
using leasepool::detail::nats::parse_servers;
using leasepool::detail::nats::Server;
using namespace std::chrono_literals;

TEST_CASE("a list of servers is read", "[servers]") {
  const std::vector<Server> servers =
      parse_servers("nats://a.example:4223, tls://b ,10.0.0.1,[::1]:99,nats://[fe80::1%eth0]/");
  CHECK(servers == std::vector<Server>{{.host = "a.example", .port = 4223, .tls = false},
                                       {.host = "b", .port = 4222, .tls = true},
                                       {.host = "10.0.0.1", .port = 4222, .tls = false},
                                       {.host = "::1", .port = 99, .tls = false},
                                       {.host = "fe80::1%eth0", .port = 4222, .tls = false}});
  CHECK(servers[0].text() == "nats://a.example:4223");
  CHECK(servers[1].text() == "tls://b:4222");
  CHECK(servers[3].text() == "nats://[::1]:99");
}

TEST_CASE("what is no server is refused, with the entry and what to do", "[servers]") {
  const auto refusal = [](const char* list) {
    try {
      (void)parse_servers(list);
      return std::string("taken");
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
  };
  for (const char* empty : {"", "  "})
    CHECK_THAT(refusal(empty), ContainsSubstring("RemoteOptions::servers is empty: name a NATS server"));
  CHECK_THAT(refusal("a,,b"), ContainsSubstring("has no host name"));
  CHECK_THAT(refusal("a,"), ContainsSubstring("has no host name"));
  CHECK_THAT(refusal("http://a"), ContainsSubstring("\"http://a\" must begin with nats:// or tls://"));
  CHECK_THAT(refusal("nats://"), ContainsSubstring("has no host name"));
  CHECK_THAT(refusal("a b"), ContainsSubstring("has no host name"));
  CHECK_THAT(refusal("::1"), ContainsSubstring("stands in brackets"));
  CHECK_THAT(refusal("[::1"), ContainsSubstring("bracket"));
  CHECK_THAT(refusal("[::1]x"), ContainsSubstring("must end with"));
  CHECK_THAT(refusal("a/b"), ContainsSubstring("has no host name"));
  for (const char* port : {"a:", "a:0", "a:65536", "a:-1", "a:x", "a:1 2", "a:4222/x"}) {
    CHECK_THAT(refusal(port), ContainsSubstring("has a port that is not 1 to 65535"));
  }
  const std::string secret = refusal("nats://alice:pass@word@host:4222");
  CHECK_THAT(secret, ContainsSubstring("\"...@host:4222\" must not have a user or a password"));
  CHECK_THAT(secret, !ContainsSubstring("alice"));
  CHECK_THAT(secret, !ContainsSubstring("word@"));
}

TEST_CASE("attempts are 100 ms apart at most while there is hope, and 2 s later on", "[servers]") {
  Backoff backoff(5s);
  TimePoint now{std::chrono::hours(1)};
  const TimePoint begin = now;
  int eager = 0;
  while (now - begin < 5s) {
    const Duration pause = backoff.after_failure(now);
    CHECK(pause >= 10ms);
    CHECK(pause <= 100ms);
    now += pause;
    ++eager;
  }
  CHECK(eager >= 50);
  for (const Duration most : {200ms, 400ms, 800ms, 1600ms, 2000ms, 2000ms}) {
    const Duration pause = backoff.after_failure(now);
    CHECK(pause >= most / 2);
    CHECK(pause <= most);
    now += pause;
  }
  // A connection that ends at once is no better than none; one that lasts begins anew.
  backoff.connected(now);
  CHECK(backoff.after_loss(now + 10ms) >= 1s);
  backoff.connected(now);
  CHECK(backoff.after_loss(now + 2s) <= 100ms);
}

TEST_CASE("what is received grows with the bytes that are there, and is small again", "[servers]") {
  InputBuffer buffer;
  CHECK(buffer.room().size() >= 16 << 10);
  const std::size_t first = buffer.capacity();
  std::string put;
  std::size_t largest = 0;
  while (put.size() < 5'000'000) {
    const auto room = buffer.room();
    const std::size_t count = std::min<std::size_t>(room.size(), 10'001);
    for (std::size_t i = 0; i < count; ++i) room[i] = static_cast<char>((put.size() + i) * 131 >> 3);
    put.append(room.data(), count);
    buffer.filled(count);
    CHECK(buffer.capacity() <= std::max<std::size_t>(first, 4 * put.size()));
    largest = std::max(largest, buffer.capacity());
  }
  CHECK((buffer.bytes() == put));
  buffer.take(3);
  (void)buffer.room();
  CHECK((buffer.bytes() == std::string_view(put).substr(3)));
  buffer.take(put.size() - 3);
  (void)buffer.room();
  CHECK(buffer.capacity() == first);
  CHECK(largest > first);
  // A stream of small ones needs no more than it had.
  for (int i = 0; i < 10'000; ++i) {
    const std::size_t count = std::min<std::size_t>(buffer.room().size(), 1000);
    buffer.filled(count);
    buffer.take(count - (i % 7 == 0 ? 1 : 0));
  }
  CHECK(buffer.capacity() == first);
}

}  // namespace server_list_test
