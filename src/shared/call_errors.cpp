// What is said of a call that a worker process cannot run, or whose outcome cannot be read.
#include "shared/call_errors.hpp"

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "base/clock.hpp"
#include "leasepool/detail/decode_limits.hpp"
#include "leasepool/detail/job.hpp"
#include "leasepool/detail/keep_result.hpp"
#include "leasepool/detail/registry.hpp"
#include "shared/symbols.hpp"

namespace leasepool::detail {

Error unregistered_function_error(std::string_view type) {
  return Error::make(Errc::unregistered_function, [&] {
    return "a worker process cannot run " + std::string(type) +
           ": it is not a registered function; write a free function f and add LEASEPOOL_REGISTER(f); at namespace "
           "scope (lambdas and other callables run on the thread backend only)";
  });
}

Error unregistered_function_error(FunctionAddress address, std::string_view type) {
  return Error::make(Errc::unregistered_function, [&] {
    if (const RegisteredFunction* const gone = last_function(address); gone != nullptr) {
      return "a worker process cannot run " + std::string(gone->name) +
             ": the library that registered it was closed with dlclose(); close it when its calls have ended";
    }
    const std::string name = function_at(address);
    return "a worker process cannot run " + (name.empty() ? std::string(type) : name) +
           ": the function is not registered; add LEASEPOOL_REGISTER with its name at namespace scope; if that is in a "
           "static library, the linker left out the file that it is in: put it beside the function or into the "
           "program, or link the library with --whole-archive (meson: link_whole)";
  });
}

Error unknown_to_worker_error(std::string_view function) {
  return {Errc::unregistered_function,
          "a worker process does not know " + std::string(function) +
              ": it was registered by a library that was loaded, or loaded again, after leasepool::init(); load the "
              "library before"};
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

Error not_serializable_error(FunctionAddress address, std::string_view type, std::string_view refused) {
  return Error::make(Errc::not_serializable, [&] {
    std::string hint;
    if (refused.ends_with('&')) {
      hint = "take it by value or by const reference, for changes cannot come back from another process";
    } else if (refused.ends_with('*') || refused.find("string_view") != std::string_view::npos ||
               refused.find("span<") != std::string_view::npos) {
      hint = "it only points at memory of this process: take an owning type such as std::string or std::vector";
    } else {
      hint = "make it a struct of public members alone, or default-constructible and give it: template <class Archive> "
             "void serialize(Archive& archive) { archive(member1, member2); }";
    }
    const std::string name = function_at(address);
    return (name.empty() ? std::string(type) : name) + " cannot run in a worker process: its type " +
           std::string(refused) + " cannot be encoded; " + hint;
  });
}

Error payload_too_large_error(std::string_view function, std::string_view what, std::size_t size, std::size_t limit) {
  return {Errc::payload_too_large, std::to_string(size) + " bytes, encoded, are too many for " + std::string(what) +
                                       " of " + std::string(function) + ": max_payload = " + std::to_string(limit) +
                                       "; raise ManagerOptions::max_payload or send less"};
}

Error too_many_descriptors_error(std::string_view function, std::string_view what, std::size_t count) {
  return {Errc::payload_too_large, std::to_string(count) + " descriptors are too many for " + std::string(what) +
                                       " of " + std::string(function) + ": the kernel passes at most " +
                                       std::to_string(kMaxDescriptors) +
                                       " at once; make several calls (a SharedBuffer counts as one, too)"};
}

Error bad_payload_error(std::string_view function, std::string_view what, std::string_view reason) {
  return {Errc::bad_payload,
          "calling " + std::string(function) + " failed while " + std::string(what) + ": " + std::string(reason)};
}

Error decoding_error(std::string_view function, const std::exception_ptr& thrown) noexcept {
  const auto because = [&](const auto& reason) {
    return Error::make(Errc::bad_payload,
                       [&] { return bad_payload_error(function, "decoding its result", reason()).message(); });
  };
  try {
    std::rethrow_exception(thrown);
  } catch (const DecodedTooLarge& error) {
    return Error::make(Errc::payload_too_large, [&] {
      return "the result of " + std::string(function) +
             " takes more memory, decoded, than max_decoded_bytes = " + std::to_string(error.most()) +
             "; raise ManagerOptions::max_decoded_bytes or send less";
    });
  } catch (const DecodingTimedOut& error) {
    return because([&] {
      return "it took longer than decode_timeout = " + in_milliseconds(error.most()) +
             "; raise ManagerOptions::decode_timeout or send less";
    });
  } catch (const std::bad_alloc&) {
    return because([] { return "there is no memory for it"; });
  } catch (...) {
    return because([] { return describe_current_exception(); });
  }
}

Error unexpected_result_error(std::string_view function) noexcept {
  return Error::make(Errc::bad_payload, [&] {
    return bad_payload_error(function, "decoding its result", "something where there should be nothing").message();
  });
}

}  // namespace leasepool::detail
