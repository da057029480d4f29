// Tests of the codec: what it takes for a frame, at every split of a stream, and that bytes of no kind lead it astray.
#include "nats/protocol.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

namespace protocol_test {

using leasepool::detail::nats::decode;
using leasepool::detail::nats::Decoded;
using leasepool::detail::nats::Frame;
using leasepool::detail::nats::Greeting;
using leasepool::detail::nats::kMaxLine;
using namespace leasepool::detail::nats;
using Kind = Frame::Kind;
using State = Decoded::State;

constexpr std::size_t kBound = 1000;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// As words: what a frame says.
std::string described(const Frame& frame) {
  switch (frame.kind) {
    case Kind::info: return "info " + std::string(frame.text);
    case Kind::ping: return "ping";
    case Kind::pong: return "pong";
    case Kind::ok: return "ok";
    case Kind::error: return "error " + std::string(frame.text);
    case Kind::message: break;
  }
  const auto& message = frame.message;
  return std::to_string(frame.subscription) + " " + std::string(message.subject) + " [" + std::string(message.reply) +
         "] <" + text_of(message.payload) + ">" + (message.no_responders ? " nobody" : "");
}

struct Example {
  std::string_view bytes;
  std::string_view meaning;
};
constexpr Example kExamples[] = {
    {"INFO {\"version\":\"2.9.10\"} \r\n", "info {\"version\":\"2.9.10\"}"},
    {"PING\r\n", "ping"},
    {"PONG\r\n", "pong"},
    {"+OK\r\n", "ok"},
    {"-ERR 'Authorization Violation'\r\n", "error 'Authorization Violation'"},
    {"MSG a.b 1 5\r\nhello\r\n", "1 a.b [] <hello>"},
    {"MSG a.b 18446744073709551615 r.1 0\r\n\r\n", "18446744073709551615 a.b [r.1] <>"},
    {"MSG a\t7   r  12\r\nwith\r\nline\r\n\r\n", "7 a [r] <with\r\nline\r\n>"},
    {"MSG * 1 1\r\nx\r\n", "1 * [] <x>"},
    {"HMSG r.9 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "3 r.9 [] <> nobody"},
    {"HMSG r.9 3 16 17\r\nNATS/1.0 503\r\n\r\nx\r\n", "3 r.9 [] <x>"},
    {"HMSG a 3 r 20 23\r\nNATS/1.0\r\nA: bcd\r\n\r\nxyz\r\n", "3 a [r] <xyz>"},
    {"HMSG a 3 0 3\r\nxyz\r\n", "3 a [] <xyz>"},
};

// Frames until there is none; what broke them is the last one.
std::vector<std::string> decode_all(std::string_view& stream) {
  std::vector<std::string> all;
  for (;;) {
    const Decoded decoded = decode(stream, kBound);
    if (decoded.state == State::incomplete) return all;
    if (decoded.state == State::broken) {
      all.push_back("broken: " + std::string(decoded.violation));
      return all;
    }
    REQUIRE(decoded.size > 0);
    REQUIRE(decoded.size <= stream.size());
    all.push_back(described(decoded.frame));
    stream.remove_prefix(decoded.size);
  }
}

TEST_CASE("each frame of a server is understood", "[protocol]") {
  for (const auto& [bytes, meaning] : kExamples) {
    CAPTURE(bytes);
    const Decoded decoded = decode(bytes, kBound);
    REQUIRE(decoded.state == State::complete);
    CHECK(decoded.size == bytes.size());
    CHECK(described(decoded.frame) == meaning);
  }
}

TEST_CASE("a stream means the same wherever it is split", "[protocol]") {
  std::string stream;
  std::vector<std::string> meanings;
  for (const auto& [bytes, meaning] : kExamples) {
    stream += bytes;
    meanings.emplace_back(meaning);
  }
  for (std::size_t split = 0; split <= stream.size(); ++split) {
    std::string_view rest = std::string_view(stream).substr(0, split);
    std::vector<std::string> seen = decode_all(rest);
    rest = std::string_view(stream).substr(split - rest.size());
    for (std::string& meaning : decode_all(rest)) seen.push_back(std::move(meaning));
    CAPTURE(split);
    REQUIRE(seen == meanings);
  }
  // No beginning of a frame is taken for a whole one.
  for (const auto& [bytes, meaning] : kExamples) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(bytes, size);
      REQUIRE(decode(bytes.substr(0, size), kBound).state == State::incomplete);
    }
  }
}

TEST_CASE("bytes that break the protocol are named", "[protocol]") {
  const auto violation = [](std::string_view bytes) {
    const Decoded decoded = decode(bytes, kBound);
    CAPTURE(bytes);
    CHECK(decoded.state == State::broken);
    return std::string(decoded.violation);
  };
  for (const char* stranger :
       {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n", "ping\r\n", "\x16\x03\x01", "\r\n", "MSGX"}) {
    CHECK_THAT(violation(stranger), ContainsSubstring("no command of NATS"));
  }
  CHECK(decode("HM", kBound).state == State::incomplete);
  CHECK_THAT(violation("PING\rx\r\n"), ContainsSubstring("goes on"));
  CHECK_THAT(violation("INFO {}\n"), ContainsSubstring("CR LF"));
  CHECK_THAT(violation("MSG a 1\r\n"), ContainsSubstring("wrong parts"));
  CHECK_THAT(violation("MSG a 1 r 2 3\r\n"), ContainsSubstring("wrong parts"));
  CHECK_THAT(violation("MSG a 1 r 2 3 4 5 6\r\n"), ContainsSubstring("wrong parts"));
  CHECK_THAT(violation("HMSG a 1 2\r\n"), ContainsSubstring("wrong parts"));
  CHECK_THAT(violation("MSG a x 3\r\n"), ContainsSubstring("subscription"));
  CHECK_THAT(violation("MSG a 18446744073709551616 3\r\n"), ContainsSubstring("subscription"));
  CHECK_THAT(violation("MSG a -1 3\r\n"), ContainsSubstring("subscription"));
  for (const char* size : {"1001", "-1", "+1", "0x1", "1.0", "99999999999999999999999999", "18446744073709551615"}) {
    CHECK_THAT(violation("MSG a 1 " + std::string(size) + "\r\n"), ContainsSubstring("size"));
    CHECK_THAT(violation("HMSG a 1 " + std::string(size) + " 5\r\n"), ContainsSubstring("headers"));
  }
  CHECK_THAT(violation("HMSG a 1 6 5\r\n"), ContainsSubstring("headers"));
  CHECK_THAT(violation("MSG a 1 1\r\nxy\r\n"), ContainsSubstring("does not end"));
  CHECK_THAT(violation("MSG a 1 0\r\nx\n"), ContainsSubstring("does not end"));
  CHECK_THAT(violation("INFO " + std::string(kMaxLine, 'x')), ContainsSubstring("longer"));
  CHECK(decode("INFO " + std::string(kMaxLine - 6, 'x'), kBound).state == State::incomplete);
}

TEST_CASE("random and damaged streams end in frames within them, or in a violation", "[protocol]") {
  std::mt19937 random(7);
  std::string whole;
  for (const auto& [bytes, meaning] : kExamples) whole += bytes;
  constexpr std::string_view kLikely = "MSGHPINGPONGINFO+OK-ERR 0123456789\r\n\r\n{}\"'\t.";
  for (int round = 0; round < 200'000; ++round) {
    std::string stream;
    if (round % 2 == 0) {
      stream = whole.substr(random() % whole.size(), random() % 60);
      for (auto damages = random() % 4; damages > 0 && !stream.empty(); --damages) {
        stream[random() % stream.size()] = static_cast<char>(random());
      }
    } else {
      static constexpr std::string_view kBegins[] = {"MSG ", "HMSG ", "INFO ", "-ERR ", "P", ""};
      stream = kBegins[random() % 6];
      for (auto size = random() % 40; size > 0; --size) stream += kLikely[random() % kLikely.size()];
    }
    std::string_view rest = stream;
    const std::vector<std::string> once = decode_all(rest);
    // The same bytes by and by: the same frames.
    std::vector<std::string> by_and_by;
    std::size_t done = 0;
    for (std::size_t end = 0; end <= stream.size(); ++end) {
      std::string_view part = std::string_view(stream).substr(done, end - done);
      const std::size_t before = part.size();
      for (std::string& meaning : decode_all(part)) by_and_by.push_back(std::move(meaning));
      if (!by_and_by.empty() && by_and_by.back().starts_with("broken")) break;
      done += before - part.size();
    }
    CAPTURE(stream);
    // Where it breaks may be seen earlier, and so be called something else.
    const auto good = [](const std::string& meaning) { return !meaning.starts_with("broken"); };
    REQUIRE(std::ranges::all_of(once, good) == std::ranges::all_of(by_and_by, good));
    REQUIRE(once.size() == by_and_by.size());
    for (std::size_t i = 0; i < once.size(); ++i) REQUIRE((!good(once[i]) || once[i] == by_and_by[i]));
  }
}

TEST_CASE("what is sent is what a server expects", "[protocol]") {
  std::string out = "x";
  encode_publish(out, "a.b", "", std::as_bytes(std::span(std::string_view("hi"))));
  encode_publish(out, "a.b", "r.1", {});
  encode_subscribe(out, "a.>", 12);
  encode_unsubscribe(out, UINT64_MAX);
  CHECK(out == "xPUB a.b 2\r\nhi\r\nPUB a.b r.1 0\r\n\r\nSUB a.> 12\r\nUNSUB 18446744073709551615\r\n");
}

TEST_CASE("a greeting names what there is, and quotes it", "[protocol]") {
  std::string out;
  encode_connect(out, {.name = "n", .user = "a\"b", .password = "c\\d\n", .tls = true});
  CHECK(out ==
        R"(CONNECT {"verbose":false,"pedantic":false,"echo":true,"headers":true,"no_responders":true,"protocol":1,)"
        R"("lang":"c++","version":"0.1","tls_required":true,"name":"n","user":"a\"b","pass":"c\\d\u000a"})"
        "\r\n");
  out.clear();
  encode_connect(out, {.nkey = "U1", .signature = "s"});
  CHECK_THAT(out, ContainsSubstring(R"("tls_required":false,"nkey":"U1","sig":"s"})"));
}

}  // namespace protocol_test
