// Decoding what a server sends, and encoding what it is sent.
#include "nats/protocol.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/check.hpp"
#include "nats/trimmed.hpp"

namespace leasepool::detail::nats {

namespace {

constexpr std::string_view kEnd = "\r\n";
constexpr std::array<std::string_view, 7> kVerbs{"INFO ", "MSG ", "HMSG ", "PING\r", "PONG\r", "+OK\r", "-ERR "};

Decoded broken(std::string_view violation) noexcept {
  return {.state = Decoded::State::broken, .frame = {}, .size = 0, .violation = violation};
}

// So that what is no such server is known by its first bytes.
bool may_begin_frame(std::string_view received) noexcept {
  return std::ranges::any_of(kVerbs, [received](std::string_view verb) {
    const std::size_t size = std::min(verb.size(), received.size());
    return verb.substr(0, size) == received.substr(0, size);
  });
}

// A line's words; of more than any line has, only that they are too many.
struct Words {
  explicit Words(std::string_view line) noexcept {
    constexpr std::string_view kSpace = " \t";
    for (;;) {
      line.remove_prefix(std::min(line.find_first_not_of(kSpace), line.size()));
      if (line.empty()) return;
      if (count == word.size()) break;
      const std::size_t size = std::min(line.find_first_of(kSpace), line.size());
      word[count++] = line.substr(0, size);
      line.remove_prefix(size);
    }
    ++count;
  }
  std::array<std::string_view, 5> word;
  std::size_t count = 0;
};

template <class Number>
std::optional<Number> number_in(std::string_view word, Number most) noexcept {
  Number number = 0;
  const char* const begin = word.data();
  const char* const end = begin + word.size();
  const auto [stopped, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || stopped != end || number > most) return std::nullopt;
  return number;
}

// Where nobody has subscribed, the server answers with this status and nothing else.
bool says_no_responders(std::string_view headers) noexcept {
  constexpr std::string_view kStatus = "NATS/1.0 503";
  return headers.starts_with(kStatus) && headers.substr(kStatus.size()).starts_with(kEnd);
}

// `received` begins with the line, which ends with CR LF.
Decoded decode_message(std::string_view received, std::string_view line, bool has_headers,
                       std::size_t max_payload) noexcept {
  const Words words(line);
  const std::size_t numbers = has_headers ? 2 : 1;
  if (words.count < 2 + numbers || words.count > 3 + numbers) return broken("a message's line has the wrong parts");
  const auto subscription = number_in<SubscriptionId>(words.word[1], UINT64_MAX);
  if (!subscription) return broken("a message's subscription is no number");
  const auto size = number_in<std::size_t>(words.word[words.count - 1], max_payload);
  if (!size) return broken("a message's size is no number, or over the server's max_payload");
  const auto header_size = has_headers ? number_in<std::size_t>(words.word[words.count - 2], *size) : 0;
  if (!header_size) return broken("the size of a message's headers is no number, or over the message's");

  const std::size_t begin = line.size() + kEnd.size() + (has_headers ? kVerbs[2].size() : kVerbs[1].size());
  if (received.size() < begin + *size + kEnd.size()) return {};
  const std::string_view body = received.substr(begin, *size);
  if (received.substr(begin + *size, kEnd.size()) != kEnd) return broken("a message does not end where it says");
  const std::string_view payload = body.substr(*header_size);
  Decoded decoded{.state = Decoded::State::complete,
                  .frame = {.kind = Frame::Kind::message,
                            .text = {},
                            .subscription = *subscription,
                            .message = {.subject = words.word[0],
                                        .reply = words.count == 3 + numbers ? words.word[2] : std::string_view(),
                                        .payload = std::as_bytes(std::span(payload)),
                                        .no_responders = says_no_responders(body.substr(0, *header_size))}},
                  .size = begin + *size + kEnd.size(),
                  .violation = {}};
  if (decoded.frame.message.no_responders && !payload.empty()) decoded.frame.message.no_responders = false;
  return decoded;
}

// JSON's, within quotes.
void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out.append("\\u00");
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_field(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out += ',';
  append_quoted(out, key);
  out += ':';
  append_quoted(out, value);
}

// Room first, so that what follows cannot fail in the middle; growing by halves, as the buffer is kept.
void make_room(std::string& out, std::size_t more) {
  if (out.capacity() - out.size() < more) out.reserve(std::max(out.size() + more, out.capacity() * 2));
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  check(error == std::errc(), "a number of 64 bits has 20 digits at most");
  out.append(digits.data(), end);
}

constexpr std::size_t kMostBesideSubjects = 64;  // verb, numbers, spaces and ends of a command

}  // namespace

Decoded decode(std::string_view received, std::size_t max_payload) noexcept {
  if (!may_begin_frame(received)) return broken("it begins with no command of NATS");
  const std::string_view searched = received.substr(0, kMaxLine);
  const std::size_t end = searched.find('\n');
  if (end == std::string_view::npos) {
    return received.size() < kMaxLine ? Decoded{} : broken("a line is longer than 64 KiB");
  }
  if (end == 0 || received[end - 1] != '\r') return broken("a line does not end with CR LF");
  const std::string_view line = received.substr(0, end - 1);
  const auto is = [line](std::string_view verb) { return line.starts_with(verb); };
  if (is(kVerbs[1])) return decode_message(received, line.substr(kVerbs[1].size()), false, max_payload);
  if (is(kVerbs[2])) return decode_message(received, line.substr(kVerbs[2].size()), true, max_payload);
  Decoded decoded{.state = Decoded::State::complete, .frame = {}, .size = end + 1, .violation = {}};
  if (is(kVerbs[0])) {
    decoded.frame = {.kind = Frame::Kind::info, .text = trimmed(line.substr(kVerbs[0].size()))};
  } else if (is(kVerbs[6])) {
    decoded.frame = {.kind = Frame::Kind::error, .text = trimmed(line.substr(kVerbs[6].size()))};
  } else if (line == "PING") {
    decoded.frame.kind = Frame::Kind::ping;
  } else if (line == "PONG") {
    decoded.frame.kind = Frame::Kind::pong;
  } else if (line != "+OK") {
    return broken("a command of NATS goes on as none does");
  }
  return decoded;
}

void encode_publish(std::string& out, std::string_view subject, std::string_view reply,
                    std::span<const std::byte> payload) {
  make_room(out, subject.size() + reply.size() + payload.size() + kMostBesideSubjects);
  out.append("PUB ").append(subject).append(" ");
  if (!reply.empty()) out.append(reply).append(" ");
  append_number(out, payload.size());
  out.append(kEnd).append(reinterpret_cast<const char*>(payload.data()), payload.size()).append(kEnd);
}

void encode_subscribe(std::string& out, std::string_view pattern, SubscriptionId id) {
  make_room(out, pattern.size() + kMostBesideSubjects);
  out.append("SUB ").append(pattern).append(" ");
  append_number(out, id);
  out.append(kEnd);
}

void encode_unsubscribe(std::string& out, SubscriptionId id) {
  make_room(out, kMostBesideSubjects);
  out.append("UNSUB ");
  append_number(out, id);
  out.append(kEnd);
}

void encode_connect(std::string& out, const Greeting& greeting) {
  std::string text = R"(CONNECT {"verbose":false,"pedantic":false,"echo":true,"headers":true,"no_responders":true)";
  text.append(R"(,"protocol":1,"lang":"c++","version":"0.1","tls_required":)").append(greeting.tls ? "true" : "false");
  append_field(text, "name", greeting.name);
  append_field(text, "user", greeting.user);
  append_field(text, "pass", greeting.password);
  append_field(text, "auth_token", greeting.token);
  append_field(text, "jwt", greeting.jwt);
  append_field(text, "nkey", greeting.nkey);
  append_field(text, "sig", greeting.signature);
  text.append("}").append(kEnd);
  make_room(out, text.size());
  out.append(text);
}

}  // namespace leasepool::detail::nats
