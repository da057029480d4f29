// Tests of subjects and patterns.
#include <string>

#include "catch.hpp"
#include "nats/subject.hpp"

using leasepool::detail::nats::is_pattern;
using leasepool::detail::nats::is_subject;
using leasepool::detail::nats::kMaxSubject;
using leasepool::detail::nats::matches;

TEST_CASE("a subject is tokens of visible characters with dots between them", "[subject]") {
  for (const char* good : {"a", "a.b", "lp.v1.default.n.node-1.x_y", "$SYS.PING", "a*.b", "x>.y"}) {
    CAPTURE(good);
    CHECK(is_subject(good));
    CHECK(is_pattern(good));
  }
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPUB x 0", "\x7f", "\xc3\xa4", "a\x01"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_subject(bad));
    CHECK_FALSE(is_pattern(bad));
  }
  CHECK(is_subject(std::string(kMaxSubject, 'x')));
  CHECK_FALSE(is_subject(std::string(kMaxSubject + 1, 'x')));
  CHECK_FALSE(is_subject(std::string("a\0b", 3)));
}

TEST_CASE("wildcards stand in patterns alone, and '>' at their end", "[subject]") {
  for (const char* pattern : {"*", ">", "a.*", "a.>", "*.b.*", "*.>"}) {
    CAPTURE(pattern);
    CHECK(is_pattern(pattern));
    CHECK_FALSE(is_subject(pattern));
  }
  CHECK_FALSE(is_pattern(">.a"));
  CHECK_FALSE(is_pattern("a.>.b"));
}

TEST_CASE("a pattern matches as a server has it", "[subject]") {
  CHECK(matches("a.b", "a.b"));
  CHECK_FALSE(matches("a.b", "a"));
  CHECK_FALSE(matches("a", "a.b"));
  CHECK_FALSE(matches("a.b", "a.c"));
  CHECK_FALSE(matches("a.b", "a.bc"));
  CHECK(matches("a.*", "a.b"));
  CHECK_FALSE(matches("a.*", "a"));
  CHECK_FALSE(matches("a.*", "a.b.c"));
  CHECK(matches("*.b", "a.b"));
  CHECK(matches("a.>", "a.b.c"));
  CHECK(matches(">", "a"));
  CHECK_FALSE(matches("a.>", "a"));
  CHECK_FALSE(matches("a.*.c", "a.b.d"));
}
