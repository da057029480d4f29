// The registry of functions: filled during static initialization, then only read.
#include "pool/registry.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "leasepool/detail/job.hpp"

namespace leasepool::detail {

namespace {

// Functions are added by static initializers, and by those of libraries that are loaded later: both run under the
// dynamic linker's lock or before main(), and reading begins after.
struct Registry {
  std::unordered_map<FunctionAddress, RegisteredFunction> by_address;
  std::unordered_map<FunctionId, const RegisteredFunction*> by_id;
  std::vector<std::string> conflicts;
  bool carries_descriptors = false;
};

Registry& registry() {
  static Registry the_registry;
  return the_registry;
}

std::string place(const RegisteredFunction& function) {
  return std::string(function.name) + " (" + function.where.file_name() + ":" + std::to_string(function.where.line()) +
         ")";
}

}  // namespace

bool register_function(const RegisteredFunction& function) {
  Registry& known = registry();
  const auto [entry, is_new] = known.by_address.emplace(function.address, function);
  if (!is_new) return true;
  const auto [same_id, id_is_new] = known.by_id.emplace(function.id, &entry->second);
  if (!id_is_new) {
    known.conflicts.push_back("leasepool: two registered functions have the same id: " + place(*same_id->second) +
                              " and " + place(function) + "; rename one, or put it into a namespace");
  }
  return true;
}

bool note_descriptors() { return registry().carries_descriptors = true; }

bool carries_descriptors() { return registry().carries_descriptors; }

const RegisteredFunction* find_function(FunctionAddress address) {
  const auto found = registry().by_address.find(address);
  return found == registry().by_address.end() ? nullptr : &found->second;
}

const RegisteredFunction* find_function_by_id(FunctionId id) {
  const auto found = registry().by_id.find(id);
  return found == registry().by_id.end() ? nullptr : found->second;
}

void check_registry() {
  if (!registry().conflicts.empty()) throw LeasePoolError(Errc::unregistered_function, registry().conflicts.front());
}

Error unregistered_function_error(std::string_view function) {
  return {Errc::unregistered_function,
          "a worker process cannot run " + std::string(function) +
              ": it is not a registered function; write a free function f and add LEASEPOOL_REGISTER(f); at namespace "
              "scope (lambdas and other callables run on the thread backend only)"};
}

Error unknown_to_worker_error(std::string_view function) {
  return {Errc::unregistered_function,
          "a worker process does not know " + std::string(function) +
              ": it was registered by a library that was loaded after leasepool::init(); load the library before"};
}

Error lost_descriptors_error(std::string_view function, std::string_view doing, std::size_t count,
                             std::string_view remedy) {
  return bad_payload_error(function, doing,
                           std::to_string(count) +
                               " of its descriptors did not arrive, because the process that "
                               "received them may not open any more; " +
                               std::string(remedy));
}

Error refused_descriptors_error(std::string_view function, std::string_view doing, int error) {
  std::string reason = std::string("the kernel did not take its descriptors: ") + std::strerror(error);
  if (error == ETOOMANYREFS) reason += " (as many as ulimit -n are on their way to processes; raise it)";
  return bad_payload_error(function, doing, reason);
}

Error not_serializable_error(std::string_view function, std::string_view type) {
  const std::string name(type);
  std::string hint;
  if (name.ends_with('&')) {
    hint = "take it by value or by const reference, for changes cannot come back from another process";
  } else if (name.ends_with('*') || name.find("string_view") != std::string::npos ||
             name.find("span<") != std::string::npos) {
    hint = "it only points at memory of this process: take an owning type such as std::string or std::vector";
  } else {
    hint = "make it default-constructible and give it: template <class Archive> void serialize(Archive& archive) { "
           "archive(member1, member2); }";
  }
  return {Errc::not_serializable,
          std::string(function) + " cannot run in a worker process: its type " + name + " cannot be encoded; " + hint};
}

Error payload_too_large_error(std::string_view function, std::string_view what, std::size_t size, std::size_t limit) {
  return {Errc::payload_too_large, std::to_string(size) + " bytes, encoded, are too many for " + std::string(what) +
                                       " of " + std::string(function) + ": max_payload = " + std::to_string(limit) +
                                       "; raise ManagerOptions::max_payload or send less"};
}

Error too_many_descriptors_error(std::string_view function, std::string_view what, std::size_t count) {
  return {Errc::payload_too_large, std::to_string(count) + " descriptors are too many for " + std::string(what) +
                                       " of " + std::string(function) + ": the kernel passes at most " +
                                       std::to_string(kMostDescriptors) +
                                       " at once; make several calls (a SharedBuffer counts as one, too)"};
}

Error bad_payload_error(std::string_view function, std::string_view what, std::string_view reason) {
  return {Errc::bad_payload,
          "calling " + std::string(function) + " failed while " + std::string(what) + ": " + std::string(reason)};
}

std::string describe_current_exception() {
  try {
    throw;
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

}  // namespace leasepool::detail
