#include "core/gateway_flows.h"

namespace sipnat {

NatView view_of(const Packet& packet) {
    auto view = NatView::of(packet.flow, packet.direction);
    if (packet.gateway == GatewayEnd::sender) view.receiver.inside = view.receiver.translated();
    if (packet.gateway == GatewayEnd::receiver) view.sender.inside = view.sender.translated();
    return view;
}

void GatewayFlows::note_message(const Packet& packet, const sip::Message& message,
                                std::string_view branch) {
    if (packet.gateway == GatewayEnd::none || message.method() != sip::Method::reg) return;
    const Register key{packet.flow.original, branch};
    if (packet.gateway == GatewayEnd::sender) {
        if (message.is_request()) sent_.put(key);
        return;
    }
    const bool accepted = message.status() >= 200 && message.status() < 300;
    if (accepted && sent_.find(key) != nullptr) registered_.put(packet.flow.original);
}

std::optional<std::chrono::seconds> GatewayFlows::timeout(const Packet& packet) {
    const auto& flow = packet.flow.original;
    if (flow.transport == Transport::tcp) return std::nullopt;
    const bool lasts = packet.gateway == GatewayEnd::none || with_media_.find(flow) != nullptr ||
                       registered_.find(flow) != nullptr;
    return lasts ? std::optional(kFlowTimeout) : std::nullopt;
}

}  // namespace sipnat
