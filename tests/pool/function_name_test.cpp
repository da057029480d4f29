// Names and ids of functions: what LEASEPOOL_REGISTER makes of each kind of function, the same on every compiler.
#include <cstdint>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "leasepool/detail/registry.hpp"
#include "leasepool/function.hpp"
#include "shared/registry.hpp"

// Registered here and nowhere else; `static` and unnamed namespaces are as good as any other place.
int naming_plain(int value) { return value; }
static int naming_static(int value) { return value; }
extern "C" int naming_c(int value) { return value; }
namespace {
int naming_hidden(int value) { return value; }
}  // namespace
namespace naming_cases {
namespace deep {
int overloaded(int value) { return value; }
int overloaded(double value) { return static_cast<int>(value); }
int careful(int value) noexcept { return value; }
}  // namespace deep
template <class T>
T templated(T value) {
  return value;
}
struct Holder {
  static int of_class(int value) { return value; }
};
}  // namespace naming_cases

LEASEPOOL_REGISTER(naming_plain);
LEASEPOOL_REGISTER(naming_static);
LEASEPOOL_REGISTER(naming_c);
LEASEPOOL_REGISTER(naming_hidden);
LEASEPOOL_REGISTER(static_cast<int (*)(double)>(naming_cases::deep::overloaded));
LEASEPOOL_REGISTER(naming_cases::deep::careful);
LEASEPOOL_REGISTER(naming_cases::templated<std::vector<int>>);
LEASEPOOL_REGISTER(naming_cases::Holder::of_class);
// Once more, by another spelling.
LEASEPOOL_REGISTER(&naming_plain);
LEASEPOOL_REGISTER(::naming_cases::Holder::of_class);

using leasepool::detail::find_function;
using leasepool::detail::find_function_by_id;
using leasepool::detail::function_id;
using leasepool::detail::function_name;
using leasepool::detail::FunctionAddress;
using leasepool::detail::RegisteredFunction;
using leasepool::detail::type_name;

namespace {

template <class F>
const RegisteredFunction* found(F* function) {
  return find_function(reinterpret_cast<FunctionAddress>(function));
}

}  // namespace

TEST_CASE("a function's name is qualified and has no parameters", "[names]") {
  STATIC_REQUIRE(function_name<naming_plain>() == "naming_plain");
  STATIC_REQUIRE(function_name<&naming_plain>() == "naming_plain");
  STATIC_REQUIRE(function_name<naming_static>() == "naming_static");
  STATIC_REQUIRE(function_name<naming_c>() == "naming_c");
  STATIC_REQUIRE(function_name<naming_cases::deep::careful>() == "naming_cases::deep::careful");
  STATIC_REQUIRE(function_name<naming_cases::Holder::of_class>() == "naming_cases::Holder::of_class");
  STATIC_REQUIRE(function_name<static_cast<int (*)(int)>(naming_cases::deep::overloaded)>() ==
                 "naming_cases::deep::overloaded");
  STATIC_REQUIRE(function_name<pool_functions::add>() == "pool_functions::add");
}

TEST_CASE("an unnamed namespace and a template show in the name as the compiler spells them", "[names]") {
  const std::string_view hidden = function_name<naming_hidden>();
  CHECK(hidden.ends_with("::naming_hidden"));
  CHECK(hidden != "::naming_hidden");
  CHECK(function_name<naming_cases::templated<int>>().starts_with("naming_cases::templated"));
}

TEST_CASE("ids are FNV-1a of the name, the same with every compiler", "[names]") {
  // From the reference: http://www.isthe.com/chongo/src/fnv/test_fnv.c
  STATIC_REQUIRE(function_id("") == 0xcbf29ce484222325);
  STATIC_REQUIRE(function_id("a") == 0xaf63dc4c8601ec8c);
  STATIC_REQUIRE(function_id("foobar") == 0x85944171f73967e8);
  STATIC_REQUIRE(function_id("\xff") == 0xaf64724c8602eb6e);
  // What a build by one compiler registers, a build by another must find.
  CHECK(found(pool_functions::add)->id == 0xd1377e8f3f7b4aac);
  CHECK(found(naming_plain)->id == 0xb3d9c3c31a3145de);
  CHECK(found(naming_cases::Holder::of_class)->id == 0x5b4fd95693e0615b);
}

TEST_CASE("every kind of free function can be registered and is found by address and by id", "[names]") {
  const RegisteredFunction* const functions[] = {
      found(naming_plain),
      found(naming_static),
      found(naming_c),
      found(naming_hidden),
      found(static_cast<int (*)(double)>(naming_cases::deep::overloaded)),
      found(naming_cases::deep::careful),
      found(naming_cases::templated<std::vector<int>>),
      found(naming_cases::Holder::of_class),
  };
  for (const RegisteredFunction* const function : functions) {
    REQUIRE(function != nullptr);
    CAPTURE(function->name);
    CHECK(find_function_by_id(function->id) == function);
    CHECK(function->id == function_id(function->name));
    CHECK(function->invoke != nullptr);
  }
}

TEST_CASE("only what was registered is found", "[names]") {
  CHECK(found(static_cast<int (*)(int)>(naming_cases::deep::overloaded)) == nullptr);  // the other overload was
  CHECK(found(naming_cases::templated<long>) == nullptr);
  CHECK(find_function_by_id(0) == nullptr);
  CHECK(find_function_by_id(function_id("naming_cases::no_such_function")) == nullptr);
}

TEST_CASE("a type's name is spelled out", "[names]") {
  STATIC_REQUIRE(type_name<int>() == "int");
  STATIC_REQUIRE(type_name<naming_cases::Holder>() == "naming_cases::Holder");
  STATIC_REQUIRE(type_name<const char*>().ends_with('*'));
}
