// What a NATS server sends: its stream, what it says of itself, and what a client reads from files and options.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "nats/credentials.hpp"
#include "nats/input_buffer.hpp"
#include "nats/protocol.hpp"
#include "nats/server_info.hpp"
#include "nats/server_list.hpp"
#include "nats/subject.hpp"

namespace leasepool::fuzz {

namespace nats_target {
namespace {

using namespace detail::nats;

constexpr std::size_t kMaxMessage = 4096;
constexpr std::size_t kMaxBuffer = 4 * (kMaxLine + kMaxMessage);

void check_frame(const Frame& frame, std::string_view received) {
  const auto lies_in = [received](const char* data, std::size_t size) {
    return size == 0 || (data >= received.data() && data + size <= received.data() + received.size());
  };
  const BusMessage& message = frame.message;
  const std::string_view payload = as_text(message.payload);
  for (const std::string_view text : {frame.text, message.subject, message.reply, payload}) {
    require(lies_in(text.data(), text.size()), "what a frame has lies in the bytes that were received");
  }
  if (frame.kind == Frame::Kind::info) (void)parse_server_info(frame.text);
  if (frame.kind != Frame::Kind::message) return;
  require(!message.subject.empty(), "a message has a subject");
  require(payload.size() <= kMaxMessage, "a payload has its bound");
  require(!message.no_responders || payload.empty(), "where nobody listens there is no payload");
}

struct Outcome {
  std::string frames;  // one letter each, and the sizes of payloads
  std::string_view violation;
};

// As a connection receives.
Outcome receive(std::string_view stream, std::size_t piece) {
  Outcome outcome;
  InputBuffer buffer;
  for (;;) {
    const Decoded decoded = decode(buffer.bytes(), kMaxMessage);
    if (decoded.state == Decoded::State::broken) {
      require(!decoded.violation.empty(), "what is broken says how");
      outcome.violation = decoded.violation;
      return outcome;
    }
    if (decoded.state == Decoded::State::complete) {
      require(decoded.size > 0 && decoded.size <= buffer.bytes().size(), "a frame has the bytes that it takes");
      check_frame(decoded.frame, buffer.bytes());
      outcome.frames += static_cast<char>('a' + std::to_underlying(decoded.frame.kind));
      outcome.frames += std::to_string(decoded.frame.message.payload.size());
      buffer.take(decoded.size);
      continue;
    }
    if (stream.empty()) return outcome;
    const std::span<char> room = buffer.room();
    const std::size_t size = std::min({room.size(), stream.size(), piece});
    std::memcpy(room.data(), stream.data(), size);
    buffer.filled(size);
    stream.remove_prefix(size);
    require(buffer.capacity() <= kMaxBuffer, "the buffer has its bound");
  }
}

void check_published(Input& input) {
  const std::string_view subject = as_text(input.piece());
  const std::string_view reply = as_text(input.piece());
  const auto payload = input.rest();
  if (!is_subject(subject) || (!reply.empty() && !is_subject(reply))) return;
  if (payload.size() > kMaxMessage) return;
  std::string out;
  encode_publish(out, subject, reply, payload);
  // As the server passes it on.
  std::string sent = "MSG " + std::string(subject) + " 7 " + (reply.empty() ? "" : std::string(reply) + " ") +
                     out.substr(out.find('\n') - 1 - std::to_string(payload.size()).size());
  const Decoded decoded = decode(sent, kMaxMessage);
  require(decoded.state == Decoded::State::complete && decoded.size == sent.size(), "what is sent is one message");
  const BusMessage& message = decoded.frame.message;
  require(decoded.frame.subscription == 7 && message.subject == subject && message.reply == reply &&
              std::ranges::equal(message.payload, payload),
          "a message is what was published");
}

void check_texts(Input& input) {
  const std::string user(as_text(input.piece()));
  const std::string_view text = as_text(input.rest());
  if (const auto credentials = Credentials::parse(user, text, "file")) {
    Greeting greeting;
    (void)credentials->add_to(greeting, "nonce");
    std::string out;
    encode_connect(out, greeting);
    require(out.find('\n') == out.size() - 1, "a greeting is one line");
  }
  try {
    const auto servers = parse_servers(text);
    require(!servers.empty(), "a list of servers has one");
    for (const Server& server : servers) {
      require(parse_servers(server.text()) == std::vector{server}, "a server is the same behind its text");
    }
  } catch (const std::invalid_argument&) {  // NOLINT(bugprone-empty-catch): as it may be
  }
}

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  const auto how = input.number<std::uint8_t>();
  if (how % 4 == 1) return check_published(input);
  if (how % 4 == 2) return check_texts(input);
  if (how % 4 == 3) return void(parse_server_info(as_text(input.rest())));
  const std::string_view stream = as_text(input.rest());
  const Outcome whole = receive(stream, SIZE_MAX);
  const Outcome in_pieces = receive(stream, 1 + how / 4);
  require(whole.frames == in_pieces.frames, "frames do not depend on the pieces in which they come");
  require(whole.violation == in_pieces.violation, "nor does how they break the protocol");
}

std::vector<detail::Bytes> make_seeds() {
  std::vector<detail::Bytes> seeds;
  const auto add = [&seeds](std::uint8_t how, std::string_view text) -> detail::Bytes& {
    put_number(seeds.emplace_back(), how);
    seeds.back().append(as_bytes(text));
    return seeds.back();
  };
  constexpr std::string_view kInfo =
      R"({"server_id":"A","version":"2.10.1","headers":true,"max_payload":1048576,"nonce":"abc","tls_required":false,)"
      R"("tls_available":true,"connect_urls":["1.2.3.4:4222"],"a":{"b":[1,-2.5e3,null,"\u00e4\n"]}})";
  add(16, "INFO " + std::string(kInfo) + "\r\nPING\r\n+OK\r\nMSG a.b 7 5\r\nhello\r\nMSG a 1 r.s 0\r\n\r\nPONG\r\n");
  add(40, "HMSG a.b 7 r 12 17\r\nNATS/1.0\r\n\r\nhello\r\nHMSG r 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n-ERR 'no'\r\n");
  detail::Bytes& published = add(1, "");
  put_piece(published, as_bytes("lp.v1.default.n.a.1"));
  put_piece(published, as_bytes("lp.v1.default.c.b"));
  published.append(as_bytes("payload"));
  for (const std::string_view text :
       {"nats://127.0.0.1:4222, tls://host.example, [::1]:1", "secret\n",
        "-----BEGIN NATS USER JWT-----\neyJ0eXAiOiJKV1Qi\n------END NATS USER JWT------\n"
        "-----BEGIN USER NKEY SEED-----\nSUAAVWRZG6M5FA5VRRGWSCIHKTOJC7EWNIT4JV3FTOIPO4OBFR5WA7X5TE\n"
        "------END USER NKEY SEED------\n"}) {
    detail::Bytes& seed = add(2, "");
    put_piece(seed, as_bytes("user"));
    seed.append(as_bytes(text));
  }
  add(3, kInfo);
  return seeds;
}

}  // namespace
}  // namespace nats_target

constinit const Target kNats{
    .name = "nats", .max_size = 8192, .run = nats_target::run, .make_seeds = nats_target::make_seeds};

}  // namespace leasepool::fuzz
