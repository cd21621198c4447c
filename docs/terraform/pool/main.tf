# The pool that bounds how many jobs are at the vendor, through Airflow's REST API.
#
# Airflow has no official Terraform provider. So this sends a request when one of the values below changes, and does not see
# what somebody changes in Airflow. The token comes from the environment (AIRFLOW_TOKEN), and so never stands in the state.

terraform {
  required_version = ">= 1.4"
}

variable "airflow_url" {
  description = "Where Airflow's API server is, e.g. https://airflow.example.com"
  type        = string
}

variable "pool" {
  description = "Name of the pool."
  type        = string
  default     = "lipsync"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+$", var.pool))
    error_message = "Letters, digits, dots, dashes and underscores only: the name becomes a part of an address."
  }
}

variable "slots" {
  description = "How many jobs may be at the vendor at once."
  type        = number
  default     = 20
}

locals {
  # Without include_deferred a pool counts who submits, not the jobs that render.
  body = jsonencode({
    name             = var.pool
    slots            = var.slots
    description      = "Lipsync jobs in flight"
    include_deferred = true
  })
}

resource "terraform_data" "pool" {
  triggers_replace = [var.airflow_url, local.body]

  provisioner "local-exec" {
    quiet = true
    environment = {
      POOLS = "${trimsuffix(var.airflow_url, "/")}/api/v2/pools"
      POOL  = var.pool
      BODY  = local.body
    }
    # Made anew, or, where it is there already (409), changed. The token goes to curl by its standard input: in an
    # argument every user of this machine could read it.
    command = <<-EOT
      set -eu
      send() {
        printf 'header = "Authorization: Bearer %s"\n' "$${AIRFLOW_TOKEN:?is not set}" |
          curl --config - --silent --show-error --header 'Content-Type: application/json' --data "$BODY" "$@"
      }
      status=$(send --request POST --output /dev/null --write-out '%%{http_code}' "$POOLS")
      case "$status" in
        201) ;;
        409) send --request PATCH --fail --output /dev/null "$POOLS/$POOL" ;;
        *) echo "Airflow answered $status to the pool" >&2; exit 1 ;;
      esac
    EOT
  }
}

output "pool" {
  description = "For pool= of the tasks that buy."
  value       = var.pool
  depends_on  = [terraform_data.pool]
}
