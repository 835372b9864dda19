#include "sipnat/sip/tag.h"

#include "sipnat/sip/uri.h"

namespace sipnat::sip {

std::string_view tag_of(const Message& message, HeaderKind kind) {
    const auto* header = message.find(kind);
    if (header == nullptr) return {};
    const auto value = AddressReader(message.text(), header->value).next();
    if (!value) return {};
    const auto tag = find_parameter(message.text(), value->params, "tag");
    return tag ? tag->in(message.text()) : std::string_view{};
}

}  // namespace sipnat::sip
