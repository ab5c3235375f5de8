#!/bin/bash
# deploy-canary.sh

CONNECTOR_URL="http://agentfield:8080/connector"
TOKEN="$CONNECTOR_TOKEN"
AGENT_ID="my-agent"
NEW_VERSION="$1"  # e.g., "2.0.0"

# Wait for new version to register and become healthy
echo "Waiting for $AGENT_ID v$NEW_VERSION to be healthy..."
for i in $(seq 1 30); do
  STATUS=$(curl -s -H "Authorization: Bearer $TOKEN" \
    "$CONNECTOR_URL/reasoners/$AGENT_ID/versions/$NEW_VERSION" \
    | jq -r '.health_status')
  [ "$STATUS" = "active" ] && break
  sleep 2
done

# Set canary weight (10%)
curl -X PUT -H "Authorization: Bearer $TOKEN" \
  "$CONNECTOR_URL/reasoners/$AGENT_ID/versions/$NEW_VERSION/weight" \
  -d '{"weight": 100}'

echo "Canary deployed at 10% traffic"
