# A private bucket for inputs, finished videos, staged copies and the ledger, and what Airflow's user may do in it.

terraform {
  required_version = ">= 1.4"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "bucket" {
  description = "Name of the bucket."
  type        = string
}

variable "days_of_videos" {
  description = "Days after which a video goes, and its receipt with it: one without the other stands in the way."
  type        = number
  default     = 365
}

variable "days_of_ledger" {
  description = "Days for which a bought job is remembered: longer than anybody clears an old run."
  type        = number
  default     = 180
}

resource "aws_s3_bucket" "media" {
  bucket = var.bucket
}

# The vendor reads by presigned URLs; nothing in here is public.
resource "aws_s3_bucket_public_access_block" "media" {
  bucket                  = aws_s3_bucket.media.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "media" {
  bucket = aws_s3_bucket.media.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "media" {
  bucket = aws_s3_bucket.media.id

  # Copies of local files, which a killed worker left.
  rule {
    id     = "staging"
    status = "Enabled"

    filter {
      prefix = "staging/"
    }

    expiration {
      days = 7
    }
  }

  rule {
    id     = "videos"
    status = "Enabled"

    filter {
      prefix = "videos/"
    }

    expiration {
      days = var.days_of_videos
    }
  }

  rule {
    id     = "ledger"
    status = "Enabled"

    filter {
      prefix = "ledger/"
    }

    expiration {
      days = var.days_of_ledger
    }
  }

  # Uploads that broke off.
  rule {
    id     = "parts"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_iam_policy" "media" {
  name        = "${var.bucket}-lipsync"
  description = "What Airflow needs in ${var.bucket} to make videos."
  policy      = templatefile("${path.module}/policy.json.tftpl", { bucket = var.bucket })
}

output "policy_arn" {
  description = "To be attached to the user or role of the storage's Airflow connection."
  value       = aws_iam_policy.media.arn
}

output "connection_extra" {
  description = "Extras for the Airflow connection of type lipsync, if that of the storage is called aws_default."
  value = jsonencode({
    staging_path = "s3://aws_default@${var.bucket}/staging"
    ledger_path  = "s3://aws_default@${var.bucket}/ledger"
  })
}
