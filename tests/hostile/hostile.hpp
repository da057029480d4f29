// What main() has of the hostile tests.
#pragma once

#include <string>

namespace hostile {

// How each attempt ends, in Markdown.
std::string table();

// Says that the machine cannot run a test.
void skip(const char* test, const std::string& reason);

// Whether the machine could not run a test.
bool skipped();

}  // namespace hostile
