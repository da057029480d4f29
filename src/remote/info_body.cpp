// Numbers and texts, one after the other.
#include "remote/info_body.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "remote/frame.hpp"
#include "remote/lease_bodies.hpp"

namespace leasepool::detail::remote {

namespace {

// How many elements follow, each of which has so many bytes at least.
std::size_t get_count(ByteReader& reader, std::size_t least) {
  const std::uint64_t count = get_number(reader);
  if (count > reader.left() / least) throw DecodeError("more elements than there is room for");
  return static_cast<std::size_t>(count);
}

template <class E>
E get_one_of(ByteReader& reader, E last) {
  const std::uint64_t number = get_number(reader);
  if (number > static_cast<std::uint64_t>(std::to_underlying(last))) throw DecodeError("an unknown choice");
  return static_cast<E>(number);
}

std::size_t get_size(ByteReader& reader) { return static_cast<std::size_t>(get_number(reader)); }

}  // namespace

void put(Bytes& out, const NodeInfo& info) {
  put_text(out, info.name);
  put_number(out, info.instance);
  put_text(out, info.version);
  put_text(out, info.build);
  put_number(out, static_cast<std::uint64_t>(std::to_underlying(info.state)));
  put_duration(out, info.up_for);
  put_number(out, static_cast<std::uint64_t>(std::to_underlying(info.backend)));
  for (const std::size_t number : {info.pools, info.pools_free, info.workers_per_pool, info.wants}) {
    put_number(out, number);
  }
  put_number(out, info.catalogue);
  put_number(out, info.leases_count);
  const std::size_t leases = std::min(info.leases.size(), kMaxInfoLeases);
  put_number(out, leases);
  for (std::size_t i = 0; i < leases; ++i) {
    put_text(out, info.leases[i].owner);
    put_text(out, info.leases[i].manager);
    put_duration(out, info.leases[i].age);
  }
  put_number(out, info.functions_count);
  Bytes names;
  std::size_t functions = 0;
  for (const std::string& function : info.functions) {
    if (out.size() + names.size() + kMaxName + 2 * sizeof(std::uint64_t) > kMaxInfo) break;
    put_text(names, function);
    ++functions;
  }
  put_number(out, functions);
  out.append(names.view());
}

NodeInfo get_node_info(ByteReader& reader) {
  NodeInfo info;
  info.name = get_text(reader);
  info.instance = get_number(reader);
  info.version = get_text(reader);
  info.build = get_text(reader);
  info.state = get_one_of(reader, NodeState::stopping);
  info.up_for = get_duration(reader);
  info.backend = get_one_of(reader, ExecutorBackend::process);
  for (std::size_t* const number : {&info.pools, &info.pools_free, &info.workers_per_pool, &info.wants}) {
    *number = get_size(reader);
  }
  info.catalogue = get_number(reader);
  info.leases_count = get_size(reader);
  for (std::size_t left = get_count(reader, 3 * sizeof(std::uint64_t)); left > 0; --left) {
    NodeInfo::Lease& lease = info.leases.emplace_back();
    lease.owner = get_text(reader);
    lease.manager = get_text(reader);
    lease.age = get_duration(reader);
  }
  info.functions_count = get_size(reader);
  for (std::size_t left = get_count(reader, sizeof(std::uint64_t)); left > 0; --left) {
    info.functions.push_back(get_text(reader));
  }
  return info;
}

}  // namespace leasepool::detail::remote
