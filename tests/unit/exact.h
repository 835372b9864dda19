// Parser inputs in heap blocks of exactly their size, so that AddressSanitizer sees an overread.
//
//     const ExactText text("INVITE …");
//     Message::parse(text.view())
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "sipnat/sip/text.h"

namespace sipnat {

class ExactText {
  public:
    explicit ExactText(std::string_view text) : bytes_(new char[text.size()]), size_(text.size()) {
        if (!text.empty()) std::memcpy(bytes_.get(), text.data(), text.size());
    }
    [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }
    /// All of it.
    [[nodiscard]] Span span() const { return {0, static_cast<std::uint32_t>(size_)}; }
    [[nodiscard]] std::span<const std::uint8_t> bytes() const {
        return {reinterpret_cast<const std::uint8_t*>(bytes_.get()), size_};
    }

  private:
    std::unique_ptr<char[]> bytes_;
    std::size_t size_;
};

}  // namespace sipnat
