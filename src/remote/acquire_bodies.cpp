// Bodies as numbers and texts, one after the other.
#include "remote/acquire_bodies.hpp"

#include <algorithm>

#include "remote/frame.hpp"

namespace leasepool::detail::remote {

void put(Bytes& out, const WantBody& body) {
  put_number(out, static_cast<std::uint64_t>(body.age.count()));
  put_number(out, static_cast<std::uint64_t>(body.lasts.count()));
  put_number(out, body.waits ? 1 : 0);
  put_number(out, body.build);
}

void put(Bytes& out, const OfferBody& body) { put_text(out, body.node); }

void put(Bytes& out, const TakeBody& body) {
  put(out, body.durations);
  put_text(out, body.owner);
  put_number(out, body.window);
  put_number(out, body.max_payload);
}

void put(Bytes& out, const GrantBody& body) {
  for (const std::uint64_t number :
       {body.format, body.build, body.catalogue, body.workers, body.window, body.max_payload}) {
    put_number(out, number);
  }
}

void put(Bytes& out, const BusyBody& body) {
  const std::size_t named = std::min(body.holders.size(), BusyBody::kMostHolders);
  put_text(out, body.node);
  put_number(out, body.leases);
  put_number(out, named);
  for (std::size_t i = 0; i < named; ++i) {
    put_text(out, body.holders[i].owner);
    put_duration(out, body.holders[i].age);
  }
}

WantBody get_want_body(ByteReader& reader) {
  WantBody body;
  body.age = get_duration(reader);
  body.lasts = get_duration(reader);
  body.waits = get_number(reader) != 0;
  body.build = get_number(reader);
  return body;
}

OfferBody get_offer_body(ByteReader& reader) { return {.node = get_text(reader)}; }

TakeBody get_take_body(ByteReader& reader) {
  TakeBody body;
  body.durations = get_extend_body(reader);
  body.owner = get_text(reader);
  body.window = get_number(reader);
  body.max_payload = get_number(reader);
  return body;
}

GrantBody get_grant_body(ByteReader& reader) {
  GrantBody body;
  body.format = get_number(reader);
  body.build = get_number(reader);
  body.catalogue = get_number(reader);
  body.workers = get_number(reader);
  body.window = get_number(reader);
  body.max_payload = get_number(reader);
  return body;
}

BusyBody get_busy_body(ByteReader& reader) {
  BusyBody body;
  body.node = get_text(reader);
  body.leases = get_number(reader);
  const std::uint64_t named = get_number(reader);
  if (named > BusyBody::kMostHolders) throw DecodeError(std::to_string(named) + " holders");
  for (std::uint64_t i = 0; i < named; ++i) {
    std::string owner = get_text(reader);
    body.holders.push_back({.owner = std::move(owner), .age = get_duration(reader)});
  }
  return body;
}

}  // namespace leasepool::detail::remote
