// Bodies as numbers, one after the other.
#include "remote/lease_bodies.hpp"

#include <utility>

#include "remote/frame.hpp"

namespace leasepool::detail::remote {

namespace {

template <class E>
E get_one_of(ByteReader& reader, E last, const char* what) {
  const std::uint64_t number = get_number(reader);
  if (number == 0 || number > std::to_underlying(last)) throw DecodeError(std::string("an unknown ") + what);
  return static_cast<E>(number);
}

}  // namespace

void put_text(Bytes& out, std::string_view text) {
  const std::string_view most = text.substr(0, kMaxName);
  put_number(out, most.size());
  out.append(most.data(), most.size());
}

std::string get_text(ByteReader& reader) {
  const std::uint64_t size = get_number(reader);
  if (size > kMaxName) throw DecodeError("a name of " + std::to_string(size) + " bytes");
  std::string text(static_cast<std::size_t>(size), '\0');
  reader.read(text.data(), text.size());
  return text;
}

void put(Bytes& out, const CallHead& head) {
  put_number(out, head.function);
  put_number(out, head.signature);
  put_duration(out, head.timeout);
  put_duration(out, head.queue_timeout);
}

void put(Bytes& out, const OutcomeHead& head) {
  put_number(out, head.call);
  put_number(out, std::to_underlying(head.kind));
  put_number(out, head.may_have_run ? 1 : 0);
  put_duration(out, head.ran_for);
}

void put(Bytes& out, const ExtendBody& body) {
  put_duration(out, body.until_soft);
  put_duration(out, body.grace);
}

void put(Bytes& out, const LendBody& body) {
  put(out, body.durations);
  put_text(out, body.owner);
}

void put(Bytes& out, const ClosedBody& body) {
  put_number(out, std::to_underlying(body.reason));
  put_number(out, body.accepted);
}

CallHead get_call_head(ByteReader& reader) {
  CallHead head;
  head.function = get_number(reader);
  head.signature = get_number(reader);
  head.timeout = get_duration(reader);
  head.queue_timeout = get_duration(reader);
  return head;
}

OutcomeHead get_outcome_head(ByteReader& reader) {
  OutcomeHead head;
  head.call = get_number(reader);
  head.kind = get_one_of(reader, OutcomeKind::failure, "kind of outcome");
  head.may_have_run = get_number(reader) != 0;
  head.ran_for = get_duration(reader);
  return head;
}

ExtendBody get_extend_body(ByteReader& reader) {
  ExtendBody body;
  body.until_soft = get_duration(reader);
  body.grace = get_duration(reader);
  return body;
}

LendBody get_lend_body(ByteReader& reader) {
  LendBody body;
  body.durations = get_extend_body(reader);
  body.owner = get_text(reader);
  return body;
}

ClosedBody get_closed_body(ByteReader& reader) {
  ClosedBody body;
  body.reason = get_one_of(reader, CloseReason::refused, "reason to close a lease");
  body.accepted = get_number(reader);
  return body;
}

}  // namespace leasepool::detail::remote
